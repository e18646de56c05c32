"""The cache of keys: who holds a known key waits for nothing, and who makes up key ids holds up nobody but himself."""

import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from feeds import FakeNode, becomes
from latchkey_verifier import REFUSE, Unavailable, Verifier, keys as module
from latchkey_verifier.keys import COOL_DOWN, Keys, fetch, secure

JWKS = "/jwks"
DEEP = pytest.param(b"[" * 200_000, id="deep")
METADATA = "/.well-known/openid-configuration"


def jwk(key_id):
    public = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key(), as_dict=True)
    return {**public, "kid": key_id, "use": "sig", "alg": "EdDSA"}


@pytest.fixture
def node():
    node = FakeNode()
    yield node
    node.end()


class Now:
    seconds = 1_000.0

    def __call__(self):
        return self.seconds

    def passes(self, seconds):
        self.seconds += seconds
        return True


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def made(node, now):
    """Keys that are fetched, with the one called `old`."""
    node.answers[JWKS] = lambda call: call.answer({"keys": [jwk("old")]}, Cache_Control="max-age=60")
    keys, ended = Keys(node.address + JWKS, now=now), threading.Event()
    thread = threading.Thread(target=keys.run, args=(ended,), daemon=True)
    thread.start()
    assert becomes(lambda: keys._keys)
    yield keys
    ended.set()
    node.has_ended = True
    thread.join(10)
    assert not thread.is_alive()


def test_before_the_first_fetch_there_is_no_verdict_and_nobody_waits(node):
    with pytest.raises(Unavailable):
        Keys(node.address + JWKS).key("old")
    assert not node.asked


def test_a_known_key_waits_for_no_fetch_however_old_the_set_is(node, now, made):
    node.answers[JWKS] = lambda call: becomes(lambda: node.has_ended, 5)
    now.seconds += 100
    assert becomes(lambda: node.count(JWKS) > 1, 5), "it is fetched in the background"
    begin = time.monotonic()
    assert made.key("old") is not None
    assert time.monotonic() - begin < 0.5


def test_an_unknown_key_is_fetched_once_for_all_who_ask_and_then_there_is_a_cool_down(node, now, made):
    now.seconds += COOL_DOWN

    def slow(call):
        time.sleep(0.3)
        call.answer({"keys": [jwk("old"), jwk("new")]}, Cache_Control="max-age=1000")

    node.answers[JWKS] = slow
    found = []
    threads = [threading.Thread(target=lambda: found.append(made.key("new"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 20 and None not in found and node.count(JWKS) == 2
    begin = time.monotonic()
    for forged in range(100):
        assert made.key(f"forged {forged}") is None
    assert time.monotonic() - begin < 0.5 and node.count(JWKS) == 2
    now.seconds += COOL_DOWN
    assert made.key("forged") is None and node.count(JWKS) == 3


@pytest.mark.parametrize("body", [
    {"keys": []}, {"keys": [{"kty": "oct", "k": "AAAA", "kid": "x", "use": "sig", "alg": "HS256"}]}, {}, [], None, 5,
    {"keys": 5}, {"keys": [None]}, {"keys": [{"use": "sig", "alg": "EdDSA"}]}, b"", b'{"keys": [', DEEP,
])
def test_what_is_no_set_of_keys_replaces_none_and_ends_nothing(node, now, made, body):
    node.answers[JWKS] = lambda call: call.answer(body)
    now.seconds += 100
    assert becomes(lambda: node.count(JWKS) > 1, 5)
    node.answers[JWKS] = lambda call: call.answer({"keys": [jwk("new")]})
    assert made.key("old") is not None
    assert becomes(lambda: now.passes(1) and "new" in made._keys, 5)
    assert made.key("old") is None, "a key that left takes its tokens along"


def test_no_redirect_is_followed(node):
    node.answers["/elsewhere"] = lambda call: call.answer({"keys": [jwk("stranger's")]})
    for status in (301, 302, 303, 307, 308):
        node.answers[JWKS] = lambda call: call.answer(status=status, Location=node.address + "/elsewhere")
        with pytest.raises(OSError):
            fetch(node.address + JWKS)
    assert node.count("/elsewhere") == 0


@pytest.mark.parametrize("address", [
    "http://id.example", "id.example", "https://", "ftp://id.example", "http://localhost@evil.example",
    "http://127.0.0.1.evil.example", "https://a@id.example", "file://localhost/etc/passwd", "ftp://127.0.0.1/x",
    "https://id.example#x", "https://id.example?x", "https://id.example:8a", "http://[::1",
])
def test_an_address_that_is_not_safe_is_refused(address):
    with pytest.raises(ValueError):
        secure(address)
    with pytest.raises(ValueError):
        Verifier(address, "a", stale_after=3, when_stale=REFUSE)


@pytest.mark.parametrize("document", [b"[]", b"5", b"{}", DEEP, b'{"issuer":5}'])
def test_no_metadata_ends_the_verifier(node, document):
    node.answers[METADATA] = lambda call: call.answer(document)
    verifier = Verifier(node.address, "a", stale_after=3, when_stale=REFUSE).start()
    try:
        assert becomes(lambda: node.count(METADATA) > 1, 10)
    finally:
        verifier.end()


def test_keys_of_no_secure_address_are_not_asked_for(node):
    node.answers[METADATA] = lambda call: call.answer(
        {"issuer": node.address, "jwks_uri": "http://id.example/jwks", "latchkey_revocations_endpoint": node.address})
    verifier = Verifier(node.address, "a", stale_after=3, when_stale=REFUSE).start()
    try:
        assert becomes(lambda: node.count(METADATA) > 1, 10) and verifier._keys is None
    finally:
        verifier.end()


def test_a_fetch_that_fails_is_told_of_once(node, now, made, caplog):
    node.answers[JWKS] = lambda call: call.answer(status=503)
    for _ in range(3):
        asked = node.count(JWKS)
        assert becomes(lambda: now.passes(1) and node.count(JWKS) > asked, 5)
    assert becomes(lambda: caplog.records, 5) and len(caplog.records) == 1
    assert caplog.records[0].name == module.Trouble.__module__.split(".")[0]
