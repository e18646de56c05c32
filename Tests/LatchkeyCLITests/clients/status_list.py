"""A verifier of draft-ietf-oauth-status-list, written from its words (§6.2, §8, §9) with PyJWT: it knows the issuer's
address and nothing else of Latchkey."""

import base64
import json
import time
import zlib

import jwt
import requests

from service import ISSUER, administer, header, log_in, new_client, refused, rotate, run

METADATA = ISSUER + "/.well-known/oauth-authorization-server"


class NoStatement(Exception):
    """§8.3: nothing can be said about the token's status, so it is refused."""


def jwks():
    return jwt.PyJWKClient(requests.get(METADATA, timeout=30).json()["jwks_uri"])


def decode(token):
    """The access token first, as always (§8.3)."""
    key = jwks().get_signing_key_from_jwt(token).key
    return jwt.decode(token, key, algorithms=["RS256"], issuer=ISSUER, audience=ISSUER)


def fetch(uri):
    """§8.1 and §8.2."""
    answer = requests.get(uri, headers={"Accept": "application/statuslist+jwt"}, timeout=30)
    answer.raise_for_status()
    assert answer.headers["Content-Type"] == "application/statuslist+jwt"
    return answer.text


def status_list(text, uri, **changes):
    """§8.3, steps 3 to 5: the list as bytes."""
    if header(text)["typ"] != "statuslist+jwt":
        raise NoStatement("typ")
    key = jwks().get_signing_key_from_jwt(text).key
    options = {"require": ["sub", "iat", "exp"], "verify_aud": False}
    claims = jwt.decode(text, key, **({"algorithms": ["RS256"], "options": options} | changes))
    if claims["sub"] != uri:
        raise NoStatement("sub")
    if claims["status_list"]["bits"] != 1 or not claims["ttl"] > 0:
        raise NoStatement("bits or ttl")
    packed = claims["status_list"]["lst"]
    return zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))


def bit(octets, index):
    """§8.3, steps 6 and 7; the lowest bit of an octet is the first (§4.1)."""
    if index >= len(octets) * 8:
        raise NoStatement("idx")
    return octets[index >> 3] >> (index & 7) & 1


def is_revoked(claims):
    reference = claims["status"]["status_list"]
    return bit(status_list(fetch(reference["uri"]), reference["uri"]), reference["idx"]) == 1


def becomes_revoked(claims):
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        if is_revoked(claims):
            return True
        time.sleep(0.05)
    return False


def log_out(token):
    answer = requests.post(ISSUER + "/auth/logout", headers={"Authorization": "Bearer " + token}, timeout=30)
    assert answer.status_code == 204


def verify():
    ended, living = log_in()["access_token"], log_in()["access_token"]
    claims, others = decode(ended), decode(living)
    assert claims["status"] != others["status"]
    assert not is_revoked(claims) and not is_revoked(others)
    log_out(ended)
    assert becomes_revoked(claims)
    assert not is_revoked(others)
    # It cannot be told from the token itself: it verifies on until it expires.
    assert decode(ended) == claims


def refuse():
    token = log_in()["access_token"]
    reference = decode(token)["status"]["status_list"]
    uri, text = reference["uri"], fetch(reference["uri"])
    octets = status_list(text, uri)
    assert len(octets) == 131072
    refused(NoStatement, lambda: bit(octets, 1 << 20))
    refused(NoStatement, lambda: status_list(text, uri + "0"))
    refused(NoStatement, lambda: status_list(token, uri))
    head, payload, signature = text.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    empty = base64.urlsafe_b64encode(zlib.compress(bytes(131072))).decode().rstrip("=")
    claims["status_list"]["lst"] = empty
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    refused(jwt.InvalidSignatureError, lambda: status_list(f"{head}.{forged}.{signature}", uri))
    late = {"verify_aud": False, "verify_iat": False}
    refused(jwt.ExpiredSignatureError, lambda: status_list(text, uri, leeway=-3600, options=late))
    # It is no access token: it has no audience and no issuer.
    refused(jwt.MissingRequiredClaimError, lambda: decode(text))
    # §8.4: who asks for another time is not answered with now.
    assert requests.get(uri, params={"time": 1686925000}, timeout=30).status_code == 501
    assert requests.get(uri[:-8] + "00000000", timeout=30).status_code == 404


def aggregate():
    """§9: all lists, before any token is seen."""
    session = decode(log_in()["access_token"])
    endpoint = requests.get(METADATA, timeout=30).json()["status_list_aggregation_endpoint"]
    limit = time.monotonic() + 10
    while True:
        answer = requests.get(endpoint, timeout=30)
        assert answer.headers["Content-Type"] == "application/json"
        lists = {uri: status_list(fetch(uri), uri) for uri in answer.json()["status_lists"]}
        if session["status"]["status_list"]["uri"] in lists:
            break
        assert time.monotonic() < limit
    assert bit(lists[session["status"]["status_list"]["uri"]], session["status"]["status_list"]["idx"]) == 0


def clients():
    """A client's own tokens have a bit in common, which ends with its secret."""
    client = new_client(client_name="a service")
    answer = requests.post(
        ISSUER + "/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(client["client_id"], client["client_secret"]),
        timeout=30,
    )
    claims = decode(answer.json()["access_token"])
    assert not is_revoked(claims)
    administer(f"/admin/clients/{client['client_id']}/secret", expire_old_after=0)
    assert becomes_revoked(claims)


def rotated():
    """A list is signed by the key of the day, as tokens are."""
    claims = decode(log_in()["access_token"])
    uri = claims["status"]["status_list"]["uri"]
    old, new = header(fetch(uri))["kid"], rotate()
    assert old != new
    limit = time.monotonic() + 20
    while header(fetch(uri))["kid"] != new:
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert not is_revoked(claims)


run({"verify": verify, "refuse": refuse, "aggregate": aggregate, "clients": clients, "rotated": rotated})
