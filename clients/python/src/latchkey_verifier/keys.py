"""The issuer's public keys: fetched in the background before they grow old, and once more at a key id that is not there."""

import json
import random
import re
import threading
import urllib.parse
import urllib.request

import jwt

from .errors import Trouble, Unavailable
from .freshness import boot_now
from .patience import Patience, patient

# Somebody who makes up key ids causes one fetch in so many seconds, and holds up nobody but himself, for `HOLD` at most.
COOL_DOWN = 30
HOLD = 3
LONGEST = 1 << 20
ALGORITHMS = {"RS256", "PS256", "ES256", "EdDSA"}


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it could lead away from https, or to a host that nobody chose."""

    def redirect_request(self, *_):
        return None


class _Patient:
    """The answer is here as a whole within the request's timeout, however it drips."""

    def do_open(self, kind, request, **options):
        patience = Patience(request.timeout)
        return super().do_open(
            lambda *place, **named: patient(kind(*place, **named), patience), request, **options)


class _Http(_Patient, urllib.request.HTTPHandler):
    pass


class _Https(_Patient, urllib.request.HTTPSHandler):
    pass


_opener = urllib.request.build_opener(_Straight, _Http, _Https)


def secure(address):
    """Plain HTTP is for this machine alone: whoever could change the keys on the way could sign tokens."""
    url = urllib.parse.urlsplit(address)
    is_local = url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost")
    if not url.hostname or (url.scheme != "https" and not is_local):
        raise ValueError(f"{url.scheme}://{url.hostname} is not https")
    if url.username is not None or url.query or url.fragment or url.port == 0:
        raise ValueError("an address is a scheme, a host and a path")
    return address


def fetch(url, headers=None, timeout=5):
    """A JSON document and the seconds that it may be kept. `timeout` is in seconds, for all of it."""
    request = urllib.request.Request(secure(url), headers={"Accept": "application/json", **(headers or {})})
    with _opener.open(request, timeout=timeout) as answer:
        body = answer.read(LONGEST + 1)
        if len(body) > LONGEST:
            raise ValueError("the document is too long")
        age = re.search(r"max-age=([0-9]{1,9})", answer.headers.get("Cache-Control", ""))
        return json.loads(body), min(max(int(age[1]), 1), 86_400) if age else 300


class Keys:
    """`name` is what this cache is called in the issuer's list of verifiers: one name for each process.

    Whoever verifies takes the last good set, however old: no answer is no reason to refuse good tokens, and a key that
    must go is on the revocation list.
    """

    def __init__(self, url, name=None, now=lambda: boot_now() / 1000):
        self._url, self._name, self._now = url, name, now
        self._keys, self._due, self._asked_at = {}, now(), None
        # Guards the two instants above and counts the fetches that ended.
        self._changed, self._fetches = threading.Condition(), 0
        self._trouble = Trouble("the issuer's keys cannot be fetched")

    def run(self, ended):
        """Until the event `ended`."""
        failures = 0
        while not ended.is_set():
            with self._changed:
                if self._now() < self._due:
                    # Looked at again now and then: our clock runs on through sleep, a timer need not.
                    self._changed.wait(min(1, self._due - self._now()))
                    continue
                self._asked_at = self._now()
            try:
                self._keys, kept = self._fetched()
                failures = 0
                self._trouble.is_over()
            except Exception as error:  # Whatever the issuer sends: without this thread no new key would be known again.
                failures += 1
                kept = random.uniform(0.5, 1) * min(60, 2 ** min(failures, 6))
                self._trouble.failed(error)
            with self._changed:
                self._due = self._now() + kept
                self._fetches += 1
                self._changed.notify_all()

    def key(self, key_id):
        """The key and its algorithm, which is the key's own, never the token's header's; None where there is none."""
        if not self._keys:
            raise Unavailable("the issuer's keys are not to be had yet")
        if key_id not in self._keys:
            self._wait_for_fetch()
        return self._keys.get(key_id)

    def _wait_for_fetch(self):
        """One, which all share who ask while it lasts; none within the cool-down of the last."""
        with self._changed:
            seen, now = self._fetches, self._now()
            if self._due > now:
                if self._asked_at is not None and now - self._asked_at < COOL_DOWN:
                    return
                self._due = now
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._fetches > seen, HOLD)

    def _fetched(self):
        document, kept = fetch(self._url, self._report())
        keys = {}
        for jwk in document["keys"]:
            if jwk.get("use") == "sig" and jwk.get("alg") in ALGORITHMS:
                keys[jwk["kid"]] = jwt.PyJWK(jwk, algorithm=jwk["alg"])
        if not keys:
            # It would refuse every token: whatever served it, it is no issuer that signs.
            raise ValueError("no keys")
        # A whole new set: one that only ever adds keys would believe a leaked one for ever.
        return keys, kept

    def _report(self):
        if not self._name:
            return {}
        held = " ".join(f'"{key_id}"' for key_id in list(self._keys)[:16])
        return {"Latchkey-Verifier": f'name="{self._name}", kids=({held})'}
