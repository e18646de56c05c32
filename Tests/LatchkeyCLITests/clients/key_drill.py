"""Sessions that refresh without pause at two nodes, and resource services that verify every token of theirs: at once, and
again when it is about to die. Runs until SIGTERM, then prints what came of it as one JSON object.

Three kinds of verifier, by libraries that nobody here wrote, each with a cache of its own that it fills from either node,
as a balancer would have it: PyJWT's client that obeys `max-age` and fetches no sooner (its cool-down is longer), PyJWT's
client that keeps keys for an hour and fetches at a kid it does not know, and Authlib's keys under a cache that goes by the
answer's `Cache-Control`.
"""

import collections
import itertools
import json
import random
import re
import signal
import sys
import threading
import time
import traceback

import jwt
import requests
from authlib.jose import JsonWebKey, JsonWebToken

# {"nodes": [url, …], "issuer", "username", "password", "max_age", "leeway", "sessions"}
GIVEN = json.load(sys.stdin)
NODES, ISSUER, LEEWAY = GIVEN["nodes"], GIVEN["issuer"], GIVEN["leeway"]

stopping = threading.Event()
failures = []


def told(failure):
    failures.append(failure)
    print(failure, file=sys.stderr, flush=True)


def from_either(ask):
    """The answer of a node to `ask`; the other is asked where one does not answer or says 503. A node is killed now and
    then, never both: twenty seconds without an answer are a failure."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        for node in random.sample(NODES, len(NODES)):
            try:
                answer = ask(node)
            except requests.RequestException:
                continue
            if answer.status_code != 503:
                return answer
        time.sleep(0.05)
    raise RuntimeError("no node answers")


class Verifier:
    """What a verifier of either library shares: the fetch, in which it names itself and the keys that it holds."""

    def __init__(self, name):
        self.name, self.fetches, self.verified, self.kids = name, 0, 0, []

    def fetch(self):
        self.fetches += 1
        held = " ".join(f'"{kid}"' for kid in self.kids[:16])
        headers = {"Latchkey-Verifier": f'name="{self.name}", kids=({held})'}
        answer = from_either(lambda node: requests.get(node + "/.well-known/jwks.json", headers=headers, timeout=5))
        answer.raise_for_status()
        document = answer.json()
        self.kids = [key["kid"] for key in document["keys"]]
        return document, int(re.search(r"max-age=(\d+)", answer.headers["Cache-Control"]).group(1))


class PyJWTVerifier(Verifier):
    def __init__(self, name, **options):
        super().__init__(name)
        verifier = self

        class Client(jwt.PyJWKClient):
            def fetch_data(self):
                document, _ = verifier.fetch()
                self._last_successful_fetch = time.monotonic()
                return document

        self.client = Client(NODES[0] + "/.well-known/jwks.json", **options)

    def verify(self, token):
        key = self.client.get_signing_key_from_jwt(token)
        jwt.decode(token, key.key, algorithms=["RS256"], issuer=ISSUER, audience=ISSUER, leeway=LEEWAY)


class AuthlibVerifier(Verifier):
    expires = 0

    def verify(self, token):
        if time.monotonic() >= self.expires:
            document, max_age = self.fetch()
            self.keys, self.expires = JsonWebKey.import_key_set(document), time.monotonic() + max_age
        options = {name: {"essential": True, "value": ISSUER} for name in ["iss", "aud"]}
        claims = JsonWebToken(["RS256"]).decode(token, self.keys, claims_options=options)
        claims.validate(leeway=LEEWAY)


class Session(threading.Thread):
    """One session and the three services that take its tokens."""

    def __init__(self, number):
        super().__init__()
        self.verifiers = [
            PyJWTVerifier(f"obeying/{number}", lifespan=GIVEN["max_age"], cooldown_duration=3600),
            PyJWTVerifier(f"keeping/{number}", lifespan=3600, cooldown_duration=0),
            AuthlibVerifier(f"authlib/{number}"),
        ]
        self.minted, self.again, self.late = [], collections.deque(), 0

    def run(self):
        try:
            tokens = self.post("/auth/login", json={name: GIVEN[name] for name in ["username", "password"]})
            while not stopping.is_set():
                self.take(tokens["access_token"])
                self.verify_dying()
                time.sleep(0.02)
                refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
                tokens = self.post("/oauth2/token", data=refresh)
            while self.again:
                self.verify_dying()
                time.sleep(0.02)
        except Exception:
            told(traceback.format_exc(limit=3))

    def post(self, path, **body):
        # A lost answer is asked for again: the same refresh token gets the same successor.
        began = time.monotonic()
        answer = from_either(lambda node: requests.post(node + path, timeout=5, **body))
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text}")
        self.minting = began, time.monotonic()
        return answer.json()

    def take(self, token):
        claims = jwt.decode(token, options={"verify_signature": False})
        self.minted.append((*self.minting, jwt.get_unverified_header(token)["kid"]))
        self.verify(token, claims["exp"])
        # Past its end by some of the leeway that each verifier grants.
        self.again.append((claims["exp"] + LEEWAY / 2, token, claims["exp"]))

    def verify_dying(self):
        while self.again and self.again[0][0] <= time.time():
            _, token, expires = self.again.popleft()
            self.verify(token, expires)

    def verify(self, token, expires):
        for verifier in self.verifiers:
            try:
                verifier.verify(token)
                verifier.verified += 1
            except Exception as error:
                # What came to its turn too late is no valid token any more.
                if time.time() >= expires + LEEWAY:
                    self.late += 1
                else:
                    kid = jwt.get_unverified_header(token)["kid"]
                    told(f"{verifier.name} refused a valid token of {kid}, {expires - time.time():.2f} s before its "
                         f"end, holding {verifier.kids}: {error!r}")


def overlaps(minted):
    """Pairs of keys that signed in turns. A key was surely chosen between the asking for its token and the answer; two
    keys went by turns where each was surely used before the other surely was. (`iat` tells no more than a whole second,
    and not when the key was chosen.)"""
    spans = {}
    for asked, answered, kid in minted:
        earliest, latest = spans.get(kid, (answered, asked))
        spans[kid] = (min(earliest, answered), max(latest, asked))
    return [(a, b) for a, b in itertools.combinations(spans, 2)
            if spans[a][0] < spans[b][1] and spans[b][0] < spans[a][1]]


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    sessions = [Session(number) for number in range(GIVEN["sessions"])]
    for session in sessions:
        session.start()
    print("running", flush=True)
    stopping.wait()
    for session in sessions:
        session.join()
    minted = [token for session in sessions for token in session.minted]
    verifiers = [verifier for session in sessions for verifier in session.verifiers]
    print(json.dumps({
        "tokens": len(minted), "keys": len({kid for *_, kid in minted}), "overlaps": len(overlaps(minted)),
        "verified": sum(verifier.verified for verifier in verifiers),
        "fetches": sum(verifier.fetches for verifier in verifiers),
        "late": sum(session.late for session in sessions), "failures": len(failures),
    }))


main()
