"""The verdict: one verification without a call, and a revocation list that knows how fresh it is."""

import threading
import time

import jwt

from .errors import InvalidToken, RevokedToken, StaleRevocations, Trouble, Unavailable
from .follower import Follower
from .freshness import ACCEPT, REFUSE
from .keys import Keys, fetch, secure
from .revocations import Signatures, seq_of

# The least that a list may be stale, in seconds: a heartbeat a second, and one may be late.
LEAST_STALE, MOST_STALE = 3, 3600
# An entry of the list outlives its token by so many seconds: with more, a revoked token could outlive its entry.
LARGEST_LEEWAY = 300
LONGEST_TOKEN = 16_384


class AccessToken:
    """A token that was verified. `claims` are those of RFC 9068 §2.2."""

    __slots__ = ("claims",)

    def __init__(self, claims):
        self.claims = claims

    @property
    def subject(self):
        return self.claims["sub"]

    @property
    def scopes(self):
        return frozenset(self.claims.get("scope", "").split())

    @property
    def roles(self):
        return frozenset(self.claims.get("roles", ()))

    def __repr__(self):
        return f"AccessToken(subject={self.subject!r})"


class Verifier:
    """Verifies the access tokens of one issuer for one audience.

    - `issuer`, `audience`: what `iss` must equal and `aud` must hold, byte for byte.
    - `stale_after`: seconds, 3 to 3,600; `when_stale`: `REFUSE` or `ACCEPT`. How old the revocation list may be, and what
      happens beyond it: only the owner of what is guarded can say, so neither has a default.
    - `name`: what the issuer's list of verifiers calls this process.
    - `feed_jwks`: the feed's keys, where it is read through a cache or a mirror: then every message's signature is checked.
    - `headers`: for the feed, where not everyone may read it.
    - `leeway`: seconds that this machine's clock may be behind or ahead, 0 to 300.
    """

    def __init__(
        self, issuer, audience, *, stale_after, when_stale, name=None, feed_jwks=None, headers=None, leeway=30
    ):
        if not issuer or not audience:
            raise ValueError("issuer and audience are required")
        secure(issuer)
        if not LEAST_STALE <= stale_after <= MOST_STALE:
            raise ValueError(f"stale_after is {LEAST_STALE} to {MOST_STALE} seconds")
        if not 0 <= leeway <= LARGEST_LEEWAY:
            raise ValueError(f"leeway is 0 to {LARGEST_LEEWAY} seconds")
        if when_stale not in (REFUSE, ACCEPT):
            raise ValueError("when_stale is REFUSE or ACCEPT")
        self.issuer, self.audience, self.leeway = issuer, audience, leeway
        self.stale_after, self.when_stale = stale_after, when_stale
        self._name, self._headers = name, headers
        self._signatures = Signatures(feed_jwks, issuer) if feed_jwks else None
        self._keys = self._follower = None
        self._ended = threading.Event()
        self._threads = []

    def start(self):
        """Begins to follow, on a thread that ends with the process. Returns at once; `wait_until_fresh` waits."""
        thread = threading.Thread(target=self._run, name="latchkey-verifier", daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def end(self):
        self._ended.set()
        if self._follower:
            self._follower.end()
        for thread in self._threads:
            thread.join(10)

    def _run(self):
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        trouble = Trouble("the issuer cannot be reached")
        while not self._ended.is_set():
            try:
                document, _ = fetch(url)
                if document["issuer"] != self.issuer:
                    raise ValueError("the discovery document names another issuer")
                keys = Keys(secure(document["jwks_uri"]), self._name)
                follower = Follower(
                    secure(document["latchkey_revocations_endpoint"]), stale_after=self.stale_after,
                    signatures=self._signatures, headers=self._headers)
                break
            except Exception as error:  # Whatever stands there: it is asked again.
                trouble.failed(error)
                self._ended.wait(1)
        else:
            return
        self._keys, self._follower = keys, follower
        thread = threading.Thread(target=keys.run, args=(self._ended,), name="latchkey-keys", daemon=True)
        thread.start()
        if not self._ended.is_set():
            follower.run()
        thread.join(10)

    @property
    def age(self):
        """Seconds since the list was complete; None where that is not known."""
        age = self._follower.ground()[0] if self._follower else None
        return None if age is None else age / 1000

    @property
    def position(self):
        return self._follower.revocations.position if self._follower else None

    @property
    def is_stale(self):
        return not self._follower or self._follower.is_stale

    def wait_until_fresh(self, timeout=10):
        """Whether the list became fresh in so many seconds."""
        return self._wait(lambda: not self.is_stale, timeout)

    def wait_until_applied(self, position, timeout=10):
        """Whether what was revoked at `position`, the `Latchkey-Position` of the answer to a call that revokes, is applied
        here."""
        seq_of(position)
        return self._wait(lambda: self._follower.revocations.has_applied(position) is True, timeout)

    def _wait(self, condition, timeout):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self._ended.is_set():
            follower = self._follower
            if not follower:
                self._ended.wait(0.02)
                continue
            with follower.changed:
                if condition():
                    return True
                follower.changed.wait(min(0.5, max(0, deadline - time.monotonic())))
        return bool(self._follower) and condition()

    def verify(self, text):
        """The token, or `InvalidToken`, `RevokedToken`, `StaleRevocations`, `Unavailable`. Calls nobody, unless the key is
        not known yet."""
        keys, follower = self._keys, self._follower
        if not keys or not follower:
            raise Unavailable("the issuer has not been reached yet")
        if len(text) > LONGEST_TOKEN:
            raise InvalidToken("not a token")
        try:
            header = jwt.get_unverified_header(text)
            key_id, kind = header.get("kid"), header.get("typ")
            if not isinstance(key_id, str) or not isinstance(kind, str) or "crit" in header:
                raise InvalidToken("not an access token")
            # RFC 9068 §4.
            if kind.lower() not in ("at+jwt", "application/at+jwt"):
                raise InvalidToken("not an access token")
            key = keys.key(key_id)
            if key is None:
                raise InvalidToken("signed by no key of the issuer")
            # PyJWT would judge the times by the wall clock alone.
            claims = jwt.decode(
                text, key, algorithms=[key.algorithm_name], issuer=self.issuer, audience=self.audience,
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"], "verify_exp": False,
                    "verify_iat": False})
        except (jwt.PyJWTError, RecursionError) as error:
            raise InvalidToken(type(error).__name__) from None
        issued_at, expires_at, session_id = claims["iat"], claims["exp"], claims.get("sid")
        if not type(issued_at) is type(expires_at) is int or not isinstance(session_id, (str, type(None))):
            raise InvalidToken("not an access token")
        # Before the set is asked: of what the follower takes in meanwhile the entries come first, then the claim.
        _, is_stale, second = follower.ground()
        if expires_at + self.leeway <= second:
            raise InvalidToken("expired")
        if issued_at > second + self.leeway:
            raise InvalidToken("issued in the future")
        if follower.revocations.holds(claims, key_id):
            raise RevokedToken("revoked")
        if self.when_stale == REFUSE and is_stale:
            raise StaleRevocations("what is revoked is not known for now")
        return AccessToken(claims)
