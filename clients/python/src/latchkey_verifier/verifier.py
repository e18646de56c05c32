"""The verdict: one verification without a call, and a revocation list that knows how fresh it is."""

import threading
import time
import urllib.parse

import jwt

from .errors import InvalidToken, RevokedToken, StaleRevocations, Unavailable
from .follower import Follower
from .freshness import ACCEPT, REFUSE
from .keys import Keys, fetch
from .revocations import Signatures

# The least that a list may be stale, in seconds: a heartbeat a second, and one may be late.
LEAST_STALE = 3
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
    - `stale_after`: seconds, at least 3; `when_stale`: `REFUSE` or `ACCEPT`. How old the revocation list may be, and what
      happens beyond it: only the owner of what is guarded can say, so neither has a default.
    - `name`: what the issuer's list of verifiers calls this process.
    - `feed_jwks`: the feed's keys, where it is read through a cache or a mirror: then every message's signature is checked.
    - `headers`: for the feed, where not everyone may read it.
    - `leeway`: seconds that this machine's clock may be behind or ahead.
    """

    def __init__(
        self, issuer, audience, *, stale_after, when_stale, name=None, feed_jwks=None, headers=None, leeway=30
    ):
        if not issuer or not audience:
            raise ValueError("issuer and audience are required")
        if stale_after < LEAST_STALE:
            raise ValueError(f"stale_after is at least {LEAST_STALE} seconds")
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
        while not self._ended.is_set():
            try:
                document, _ = fetch(url)
                if document["issuer"] != self.issuer:
                    raise ValueError("the discovery document names another issuer")
                keys, feed = document["jwks_uri"], document["latchkey_revocations_endpoint"]
                for address in (keys, feed):
                    secure(address)
                break
            except (OSError, ValueError, KeyError):
                self._ended.wait(1)
        else:
            return
        self._keys = Keys(keys, self._name)
        self._follower = Follower(
            feed, wait=self.stale_after / 3, signatures=self._signatures, headers=self._headers)
        if not self._ended.is_set():
            self._follower.run()

    @property
    def age(self):
        """Seconds since the list was complete; None where that is not known."""
        age = self._follower.age() if self._follower else None
        return None if age is None else age / 1000

    @property
    def position(self):
        return self._follower.revocations.position if self._follower else None

    @property
    def is_stale(self):
        age = self.age
        return age is None or age > self.stale_after

    def wait_until_fresh(self, timeout=10):
        """Whether the list became fresh in so many seconds."""
        return self._wait(lambda: not self.is_stale, timeout)

    def wait_until_applied(self, position, timeout=10):
        """Whether what was revoked at `position`, the `Latchkey-Position` of the answer to a call that revokes, is applied
        here."""
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
            claims = jwt.decode(
                text, key, algorithms=[key.algorithm_name], issuer=self.issuer, audience=self.audience,
                leeway=self.leeway, options={"require": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"]})
        except jwt.PyJWTError as error:
            raise InvalidToken(type(error).__name__) from None
        if not isinstance(claims.get("sid"), (str, type(None))):
            raise InvalidToken("not an access token")
        if follower.revocations.holds(claims, key_id):
            raise RevokedToken("revoked")
        if self.when_stale == REFUSE and self.is_stale:
            raise StaleRevocations("what is revoked is not known for now")
        return AccessToken(claims)


def secure(address):
    """Plain HTTP is for this machine alone: whoever could change the keys on the way could sign tokens."""
    url = urllib.parse.urlsplit(address)
    if url.scheme != "https" and url.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError(f"{url.scheme}://{url.hostname} is not https")
