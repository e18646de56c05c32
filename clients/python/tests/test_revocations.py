"""The set under messages that are whole, cut off, replayed, of another history, or signed by somebody else."""

import base64
import hashlib
import io
import json
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from latchkey_verifier.follower import events
from latchkey_verifier.revocations import BadMessage, Revocations, Signatures, binary

EPOCH, OTHER = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002"
KID = "A" * 43


def position(seq, epoch=EPOCH):
    return f"{epoch}.{seq}.{'c' * 16}"


def jti(number):
    return str(uuid.UUID(int=number))


def message(seq, entries, after=None, epoch=EPOCH, **members):
    return {
        "epoch": epoch, "position": position(seq, epoch), "as_of": 1, "now": 1, "node": "n", "count": len(entries),
        "entries": entries, **({} if after is None else {"after": position(after, epoch)}), **members,
    }


@pytest.fixture
def list_of_two():
    revocations = Revocations()
    revocations.apply(message(2, [{"jti": jti(1), "exp": 100}, {"kid": KID}]))
    return revocations


def test_a_token_is_revoked_by_its_id_its_session_or_its_key(list_of_two):
    list_of_two.apply(message(3, [{"sid": jti(2), "exp": 100}], after=2))
    assert list_of_two.holds({"jti": jti(1)}, "other")
    assert list_of_two.holds({"jti": jti(9), "sid": jti(2)}, "other")
    assert list_of_two.holds({"jti": jti(9)}, KID)
    assert not list_of_two.holds({"jti": jti(9)}, "other")


@pytest.mark.parametrize("bad", [
    message(4, [], after=3), message(3, [], after=1), message(3, [{"jti": jti(5), "exp": 1}], after=2, count=2),
    message(3, [], after=2, count=None), message(3, [{"jti": jti(5)}], after=2), message(3, [{"exp": 5}], after=2),
    message(3, [{"jti": jti(5), "exp": None}], after=2), message(3, ["text"], after=2), message(3, [{"jti": [], "exp": 5}], after=2),
    {**message(3, []), "position": position(3, OTHER)}, {}, {"count": 0, "entries": []},
])
def test_what_does_not_fit_changes_nothing(list_of_two, bad):
    with pytest.raises(BadMessage):
        list_of_two.apply(bad)
    assert list_of_two.position == position(2) and len(list_of_two) == 2


def test_parts_count_with_the_message_that_ends_them_and_not_before(list_of_two):
    list_of_two.add_part([{"jti": jti(5), "exp": 100}])
    assert not list_of_two.holds({"jti": jti(5)}, "other")
    list_of_two.apply(message(4, [{"jti": jti(6), "exp": 100}], after=2, count=2))
    assert list_of_two.holds({"jti": jti(5)}, "other") and list_of_two.holds({"jti": jti(6)}, "other")


def test_parts_of_a_stream_that_broke_are_forgotten(list_of_two):
    list_of_two.add_part([{"jti": jti(5), "exp": 100}])
    list_of_two.drop_parts()
    list_of_two.apply(message(4, [], after=2))
    assert not list_of_two.holds({"jti": jti(5)}, "other")


def test_a_lift_takes_a_key_back(list_of_two):
    list_of_two.apply(message(3, [{"lift": KID}], after=2))
    assert not list_of_two.holds({}, KID)


def test_a_whole_list_of_the_same_history_replaces_keys_and_one_of_another_adds_to_them(list_of_two):
    list_of_two.forget()
    list_of_two.apply(message(1, [], epoch=OTHER))
    assert list_of_two.holds({"jti": jti(1)}, KID), "an id too many refuses a token, one too few accepts it"
    list_of_two.forget()
    list_of_two.apply(message(9, [], epoch=OTHER))
    assert list_of_two.holds({"jti": jti(1)}, "other") and not list_of_two.holds({}, KID)


def test_the_later_of_two_expiries_counts(list_of_two):
    list_of_two.apply(message(3, [{"jti": jti(1), "exp": 50}], after=2))
    list_of_two.remove_expired(100)
    assert list_of_two.holds({"jti": jti(1)}, "other")
    list_of_two.remove_expired(100 + 301)
    assert not list_of_two.holds({"jti": jti(1)}, "other")


def test_applied_means_at_least_that_position_of_this_history(list_of_two):
    assert list_of_two.has_applied(position(2)) is True
    assert list_of_two.has_applied(position(3)) is False
    assert list_of_two.has_applied(position(1, OTHER)) is None


@pytest.mark.parametrize("entry, octets", [
    ({"jti": "00112233-4455-6677-8899-aabbccddeeff", "exp": 258},
     "0100112233445566778899aabbccddeeff00000102"),
    ({"sid": "00112233-4455-6677-8899-aabbccddeeff", "exp": 1 << 40},
     "0200112233445566778899aabbccddeeffffffffff"),
    ({"kid": KID}, "03" + "41" * 43), ({"lift": KID}, "04" + "41" * 43),
])
def test_entries_have_one_binary_form(entry, octets):
    assert binary(entry).hex() == octets


class Feed:
    """Signs as a node does."""

    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        octets = self.key.public_key().public_bytes_raw()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(octets).rstrip(b"=").decode()}
        self.jwks = {"keys": [{**jwk, "kid": "feed", "alg": "EdDSA", "use": "sig"}]}

    def sign(self, message, iss="https://id", typ="latchkey-feed+jwt", entries=None):
        entries = message["entries"] if entries is None else entries
        digest = hashlib.sha256(b"".join(binary(entry) for entry in entries)).digest()
        claims = {**{name: value for name, value in message.items() if name != "entries"}, "iss": iss,
                  "digest": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
        return {**message, "signature": jwt.encode(
            claims, self.key, algorithm="EdDSA", headers={"typ": typ, "kid": "feed"})}


def test_a_signed_message_counts_by_its_payload():
    feed = Feed()
    revocations = Revocations(Signatures(feed.jwks, "https://id"))
    signed = feed.sign(message(1, [{"jti": jti(1), "exp": 100}]))
    assert revocations.apply({**signed, "as_of": 999})["as_of"] == 1, "what stands outside is not believed"
    assert revocations.holds({"jti": jti(1)}, "other")


@pytest.mark.parametrize("forge", [
    lambda feed: message(1, []),
    lambda feed: feed.sign(message(1, []), iss="https://other"),
    lambda feed: feed.sign(message(1, []), typ="at+jwt"),
    lambda feed: Feed().sign(message(1, [])),
    lambda feed: {**feed.sign(message(1, [{"jti": jti(1), "exp": 5}])), "entries": []},
    lambda feed: {**feed.sign(message(1, [{"jti": jti(1), "exp": 5}])), "entries": [{"jti": jti(2), "exp": 5}]},
    lambda feed: {**feed.sign(message(1, [])), "signature": "a.b.c"},
])
def test_a_forged_message_changes_nothing(forge):
    feed = Feed()
    revocations = Revocations(Signatures(feed.jwks, "https://id"))
    with pytest.raises(BadMessage):
        revocations.apply(forge(feed))
    assert revocations.position is None and len(revocations) == 0


def test_events_are_read_as_the_standard_says():
    text = b"retry: 1000\nevent: heartbeat\nid: p\ndata: {\"a\":\ndata: 1}\n\n: a comment\nevent: stale\ndata: {}\n\ndata: {"
    assert list(events(io.BytesIO(text))) == [("heartbeat", "p", {"a": 1}), ("stale", None, {})]


def test_a_line_without_end_is_no_reason_to_fill_the_memory():
    with pytest.raises(BadMessage):
        list(events(io.BytesIO(b"data: " + b"x" * (1 << 21))))


def test_json_that_is_none_is_an_error_of_the_feed():
    with pytest.raises(ValueError):
        list(events(io.BytesIO(b"data: nope\n\n")))
    assert json.loads("[]") == []
