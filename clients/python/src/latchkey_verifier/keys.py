"""The issuer's public keys: kept for as long as the JWKS says, fetched once more at a key id that is not there."""

import json
import re
import threading
import time
import urllib.request

import jwt

from .errors import Unavailable

# Somebody who makes up key ids causes one fetch in so many seconds.
COOL_DOWN = 30
LONGEST = 1 << 20
ALGORITHMS = {"RS256", "PS256", "ES256", "EdDSA"}


def fetch(url, headers=None, timeout=5):
    """A JSON document and the seconds that it may be kept."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        body = answer.read(LONGEST + 1)
        if len(body) > LONGEST:
            raise ValueError("the document is too long")
        age = re.search(r"max-age=(\d+)", answer.headers.get("Cache-Control", ""))
        return json.loads(body), int(age[1]) if age else 300


class Keys:
    """`name` is what this cache is called in the issuer's list of verifiers: one name for each process."""

    def __init__(self, url, name=None, now=time.monotonic):
        self._url, self._name, self._now = url, name, now
        self._keys, self._fresh_until, self._tried = {}, None, None
        self._lock = threading.Lock()

    def key(self, key_id):
        """The key and its algorithm, which is the key's own, never the token's header's; None where there is none."""
        now = self._now()
        if self._fresh_until is None or now >= self._fresh_until:
            self._refetch(now)
        elif key_id not in self._keys and (self._tried is None or now - self._tried >= COOL_DOWN):
            self._refetch(now)
        if self._fresh_until is None:
            raise Unavailable("the issuer's keys are not to be had yet")
        return self._keys.get(key_id)

    def _refetch(self, now):
        with self._lock:
            # Whoever waited for the lock finds it done, well or badly.
            if self._tried is not None and self._tried >= now:
                return
            failed_lately = self._tried is not None and now - self._tried < 1
            if failed_lately:
                return
            self._tried = self._now()
            try:
                document, max_age = fetch(self._url, self._report())
                keys = {}
                for jwk in document["keys"]:
                    if jwk.get("use") == "sig" and jwk.get("alg") in ALGORITHMS:
                        keys[jwk["kid"]] = jwt.PyJWK(jwk, algorithm=jwk["alg"])
            except (OSError, ValueError, KeyError, jwt.PyJWTError):
                # The last good set stays: a key that has gone is on the revocation list, too.
                return
            # A whole new set: one that only ever adds keys would believe a leaked one for ever.
            self._keys, self._fresh_until = keys, self._now() + max_age

    def _report(self):
        if not self._name:
            return {}
        held = " ".join(f'"{key_id}"' for key_id in list(self._keys)[:16])
        return {"Latchkey-Verifier": f'name="{self._name}", kids=({held})'}
