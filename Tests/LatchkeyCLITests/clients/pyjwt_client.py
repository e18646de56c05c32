"""PyJWT as a resource service would use it: it knows the issuer's address and nothing else of Latchkey."""

import base64
import json

import jwt
import requests

from service import ISSUER, client_tokens, header, log_in, log_in_with_key, refused, rotate, run

JWKS = ISSUER + "/.well-known/jwks.json"
REQUIRED = ["iss", "aud", "sub", "exp", "iat", "jti", "client_id", "sid", "auth_time", "scope"]


class CountingClient(jwt.PyJWKClient):
    """Counts how often the JWKS is fetched."""

    fetches = 0

    def fetch_data(self):
        self.fetches += 1
        return super().fetch_data()


def decode(token, client, **changes):
    key = client.get_signing_key_from_jwt(token)
    arguments = {"algorithms": ["RS256"], "issuer": ISSUER, "audience": ISSUER, "options": {"require": REQUIRED}}
    return jwt.decode(token, key.key, **(arguments | changes))


def verify():
    client = CountingClient(JWKS)
    answer = log_in()
    token = answer["access_token"]
    assert header(token) == {"typ": "at+jwt", "alg": "RS256", "kid": header(token)["kid"]}
    claims = decode(token, client)
    assert claims["iss"] == ISSUER and claims["aud"] == ISSUER or claims["aud"] == [ISSUER]
    assert claims["sid"] == answer["session_id"]
    assert claims["exp"] - claims["iat"] == answer["expires_in"] == 600
    assert claims["scope"] == answer["scope"]
    assert client.fetches == 1
    for key in client.get_jwk_set().keys:
        assert (key.key_type, key.public_key_use, key.algorithm_name) == ("RSA", "sig", "RS256")
    assert client.fetches == 1, "the JWKS is cached"


def refuse():
    client = CountingClient(JWKS)
    token = log_in()["access_token"]
    decode(token, client)
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["scope"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    refused(jwt.InvalidSignatureError, lambda: decode(f"{head}.{forged}.{signature}", client))
    refused(jwt.InvalidSignatureError, lambda: decode(f"{head}.{payload}.{flipped}", client))
    refused(jwt.InvalidAudienceError, lambda: decode(token, client, audience="https://other.example"))
    refused(jwt.InvalidIssuerError, lambda: decode(token, client, issuer="https://other.example"))
    refused(jwt.InvalidAlgorithmError, lambda: decode(token, client, algorithms=["ES256"]))
    late = {"require": REQUIRED, "verify_iat": False}
    refused(jwt.ExpiredSignatureError, lambda: decode(token, client, leeway=-601, options=late))
    other = base64.urlsafe_b64encode(json.dumps(header(token) | {"kid": "unknown"}).encode()).decode().rstrip("=")
    refused(jwt.PyJWKClientError, lambda: decode(f"{other}.{payload}.{signature}", client))


def rotated():
    token = log_in()["access_token"]
    old = header(token)["kid"]
    warm = CountingClient(JWKS, lifespan=3600)
    decode(token, warm)
    # What a service that cached its keys long ago holds: the signing key of that day alone.
    stale = CountingClient(JWKS, lifespan=3600, cooldown_duration=0)
    stale.jwk_set_cache.put({"keys": [key for key in stale.fetch_data()["keys"] if key["kid"] == old]})
    stale.fetches = 0
    decode(token, stale)
    assert stale.fetches == 0

    new = rotate()
    assert new != old
    fresh = log_in_with_key(new)
    decode(fresh, warm)
    assert warm.fetches == 1, "the new key stood in the JWKS before it signed"
    decode(fresh, stale)
    assert stale.fetches == 1, "an unknown kid is fetched once"
    for client in [warm, stale, CountingClient(JWKS)]:
        decode(token, client)


def algorithms():
    """Tokens of every algorithm that discovery names, each by the key that the JWKS holds for it."""
    named = requests.get(ISSUER + "/.well-known/oauth-authorization-server", timeout=30).json()[
        "access_token_signing_alg_values_supported"
    ]
    assert set(named) == {"RS256", "PS256", "ES256", "EdDSA"}, named
    # A client without scopes: no user stands behind the token.
    required = [name for name in REQUIRED if name not in ("auth_time", "scope")]
    for token, algorithm in client_tokens(named):
        client = CountingClient(JWKS)
        # PyJWT's own pairing of key and algorithm: of the `alg` that the JWK names.
        key = client.get_signing_key_from_jwt(token)
        assert key.algorithm_name == algorithm
        options = {"require": required}
        claims = jwt.decode(token, key, algorithms=[algorithm], issuer=ISSUER, audience=ISSUER, options=options)
        assert claims["sub"] == claims["client_id"]
        for other in set(named) - {algorithm}:
            refused(
                jwt.InvalidAlgorithmError,
                lambda: jwt.decode(token, key, algorithms=[other], issuer=ISSUER, audience=ISSUER, options=options),
            )


run({"verify": verify, "refuse": refuse, "rotated": rotated, "algorithms": algorithms})
