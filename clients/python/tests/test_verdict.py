"""What a verdict rests on, with keys and a follower that a test holds in its hands."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from latchkey_verifier import ACCEPT, REFUSE, InvalidToken, RevokedToken, StaleRevocations, Verifier

ISSUER, AUDIENCE, NOW = "https://id.example", "https://orders.example", int(time.time())
KEY = Ed25519PrivateKey.generate()
PUBLIC = jwt.PyJWK(jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True), algorithm="EdDSA")


class Held:
    """Keys, follower and set in one."""

    def __init__(self):
        self.is_stale, self.second, self.revoked, self.asked = False, NOW, set(), []
        self.revocations = self
        self.while_asked = lambda: None

    def key(self, key_id):
        return PUBLIC

    def ground(self):
        self.asked.append("ground")
        return (None if self.is_stale else 0), self.is_stale, self.second

    def holds(self, claims, key_id):
        self.asked.append("set")
        answer = claims["jti"] in self.revoked
        self.while_asked()
        return answer


def verifier(held, **options):
    made = Verifier(ISSUER, AUDIENCE, **{"stale_after": 5, "when_stale": REFUSE, **options})
    made._keys = made._follower = held
    return made


def token(**claims):
    payload = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "u", "jti": "j", "sid": "s", "client_id": "c", "iat": NOW - 10,
        "exp": NOW + 600, **claims}
    return jwt.encode(payload, KEY, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": "k"})


def test_freshness_is_asked_before_the_set():
    """A revocation and the claim that it is in the list may come while a verdict is made: asked in the other order, the
    set would not hold it yet and the list would be fresh."""
    held = Held()
    held.is_stale = True

    def arrive():
        held.revoked, held.is_stale = {"j"}, False

    held.while_asked = arrive
    with pytest.raises(StaleRevocations):
        verifier(held).verify(token())
    with pytest.raises(RevokedToken):
        verifier(held).verify(token())


def test_a_stale_list_is_refused_or_accepted_as_its_owner_said():
    held = Held()
    held.is_stale = True
    assert verifier(held, when_stale=ACCEPT).verify(token()).subject == "u"
    held.revoked = {"j"}
    for when_stale in (ACCEPT, REFUSE):
        with pytest.raises(RevokedToken):
            verifier(held, when_stale=when_stale).verify(token())


@pytest.mark.parametrize("exp, leeway, is_good", [
    (1, 0, True), (0, 0, False), (-29, 30, True), (-30, 30, False), (-300, 300, False), (-299, 300, True)])
def test_expiry_is_judged_by_the_followers_clock(exp, leeway, is_good):
    """Not by the wall clock alone, which may be stepped back behind what was forgotten."""
    held = Held()
    held.second = NOW + 1_000_000
    text = token(exp=held.second + exp)
    if is_good:
        verifier(held, leeway=leeway).verify(text)
    else:
        with pytest.raises(InvalidToken):
            verifier(held, leeway=leeway).verify(text)


def test_a_token_from_the_future_is_refused():
    verifier(Held(), leeway=5).verify(token(iat=NOW + 5))
    with pytest.raises(InvalidToken):
        verifier(Held(), leeway=5).verify(token(iat=NOW + 6))


@pytest.mark.parametrize("claims", [
    {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"exp": [1]}, {"exp": float("inf")}, {"exp": float("nan")},
    {"iat": None}, {"iat": "1"}, {"iat": {}}, {"iss": "https://evil.example"}, {"aud": "https://evil.example"},
    {"sid": 5}, {"jti": 5}, {"sub": None},
])
def test_claims_that_are_none_are_refused(claims):
    with pytest.raises(InvalidToken):
        verifier(Held()).verify(token(**claims))


@pytest.mark.parametrize("header", [
    {"typ": "JWT"}, {"typ": "at+jwtx"}, {"typ": "statuslist+jwt"}, {"typ": None}, {"crit": []},
    {"crit": ["b64"], "b64": True},
])
def test_a_header_of_another_kind_of_token_is_refused(header):
    headers = {"typ": "at+jwt", "kid": "k", **header}
    with pytest.raises(InvalidToken):
        verifier(Held()).verify(jwt.encode(jwt.decode(token(), options={"verify_signature": False}), KEY, "EdDSA", headers))


def test_a_token_without_end_is_not_read():
    long = token(sub="u" * 13_000)
    assert len(long) > 16_384
    with pytest.raises(InvalidToken):
        verifier(Held()).verify(long)


def test_a_header_that_nests_deeply_is_no_token():
    header = jwt.utils.base64url_encode(b"[" * 8_000).decode()
    with pytest.raises(InvalidToken):
        verifier(Held()).verify(header + ".e30.AAAA")


@pytest.mark.parametrize("leeway", [-1, 301, 3600, float("nan"), float("inf")])
def test_a_leeway_that_outlives_the_list_is_refused(leeway):
    with pytest.raises(ValueError):
        Verifier(ISSUER, AUDIENCE, stale_after=5, when_stale=REFUSE, leeway=leeway)


@pytest.mark.parametrize("stale_after", [2.9, 3601, float("nan"), float("inf")])
def test_a_limit_that_nobody_can_keep_is_refused(stale_after):
    with pytest.raises(ValueError):
        Verifier(ISSUER, AUDIENCE, stale_after=stale_after, when_stale=REFUSE)
