"""The set under messages that are whole, cut off, replayed, of another history, or signed by somebody else."""

import base64
import hashlib
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from latchkey_verifier.errors import BadMessage
from latchkey_verifier.follower import LONGEST_EVENT, events
from latchkey_verifier.revocations import Revocations, Signatures, parsed

EPOCH, OTHER = "018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000002"
EARLIER, TIME, LATER = (f"2027-01-15T08:00:0{second}.250Z" for second in (0, 1, 2))
KID = "A" * 43
A_JTI = "018f3e2a-7b1c-7d4e-8a5b-abcdefabcdef"


def position(seq, epoch=EPOCH):
    return f"{epoch}.{seq}.{'c' * 16}"


def jti(number):
    return str(uuid.UUID(int=number))


def message(seq, entries, after=None, epoch=EPOCH, **members):
    return {
        "epoch": epoch, "position": position(seq, epoch), "as_of": 1, "now": 1, "node": "n", "count": len(entries),
        "time": TIME, "entries": entries, **({} if after is None else {"after": position(after, epoch)}), **members,
    }


class Applying(Revocations):
    """Takes in whatever it can read."""

    def apply(self, message):
        read = self.read(message)
        super().apply(read)
        return read


@pytest.fixture
def list_of_two():
    revocations = Applying()
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
    {**message(3, []), "position": position(3, OTHER)}, {}, {"count": 0, "entries": []}, [], None, 5,
    {**message(3, []), "entries": None}, {**message(3, []), "entries": [5]},
    {**message(3, []), "entries": [None]}, {**message(3, []), "entries": {"jti": 1}},
    message(3, [{"jti": jti(5), "exp": -1}], after=2), message(3, [{"jti": jti(5), "exp": True}], after=2),
    message(3, [{"jti": jti(5), "exp": 5, "kid": KID}], after=2), message(3, [{"kid": 5}], after=2),
    message(3, [{"jti": jti(10**6).upper(), "exp": 5}], after=2), message(3, [{"kid": "A" * 42}], after=2),
    message(3, [], as_of=2), message(3, [], as_of=-1), message(3, [], now=1 << 43), message(3, [], now=1.5),
    message(3, [], node=5), message(3, [], time="yesterday"), message(3, [], time="2027-01-15T08:00:00"),
    message(3, [], time=5), message(3, [], nonce=5), {**message(3, []), "position": f"{EPOCH}.03.{'c' * 16}"},
])
def test_what_does_not_fit_changes_nothing(list_of_two, bad):
    with pytest.raises(BadMessage):
        list_of_two.apply(bad)
    assert list_of_two.position == position(2) and len(list_of_two) == 2


def test_parts_count_with_the_message_that_ends_them_and_not_before(list_of_two):
    list_of_two.add_part({"entries": [{"jti": jti(5), "exp": 100}]})
    assert not list_of_two.holds({"jti": jti(5)}, "other")
    list_of_two.apply(message(4, [{"jti": jti(6), "exp": 100}], after=2, count=2))
    assert list_of_two.holds({"jti": jti(5)}, "other") and list_of_two.holds({"jti": jti(6)}, "other")


def test_parts_of_a_stream_that_broke_are_forgotten(list_of_two):
    list_of_two.add_part({"entries": [{"jti": jti(5), "exp": 100}]})
    list_of_two.drop_parts()
    list_of_two.apply(message(4, [], after=2))
    assert not list_of_two.holds({"jti": jti(5)}, "other")


def test_a_lift_takes_a_key_back(list_of_two):
    list_of_two.apply(message(3, [{"lift": KID}], after=2))
    assert not list_of_two.holds({}, KID)


def test_a_whole_list_of_the_same_history_replaces_keys_and_one_of_another_adds_to_them(list_of_two):
    list_of_two.forget()
    list_of_two.apply(message(1, [], epoch=OTHER, time=LATER))
    assert list_of_two.holds({"jti": jti(1)}, KID), "an id too many refuses a token, one too few accepts it"
    list_of_two.forget()
    list_of_two.apply(message(9, [], epoch=OTHER, time=LATER))
    assert list_of_two.holds({"jti": jti(1)}, "other") and not list_of_two.holds({}, KID)


@pytest.mark.parametrize("time", [EARLIER, TIME])
def test_a_list_of_an_epoch_that_has_ended_takes_no_key_back_as_often_as_it_is_brought(list_of_two, time):
    for _ in range(3):
        list_of_two.forget()
        list_of_two.apply(message(50, [], epoch=OTHER, time=time))
        assert list_of_two.holds({}, KID)
    list_of_two.apply(message(51, [{"lift": KID}], after=50, epoch=OTHER, time=time))
    assert list_of_two.holds({}, KID) and list_of_two.applied == (EPOCH, 2)
    list_of_two.forget()
    list_of_two.apply(message(3, [], time=LATER))
    assert not list_of_two.holds({}, KID)


def test_an_epoch_whose_clock_was_set_back_is_followed_and_takes_nothing_back_until_it_has_passed_the_latest(list_of_two):
    list_of_two.forget()
    list_of_two.apply(message(1, [], epoch=OTHER, time=EARLIER))
    list_of_two.apply(message(2, [{"jti": jti(5), "exp": 100}, {"lift": KID}], after=1, epoch=OTHER, time=EARLIER))
    assert list_of_two.holds({"jti": jti(5)}, KID)
    assert list_of_two.has_applied(position(2, OTHER)) is True and list_of_two.has_applied(position(3, OTHER)) is False
    assert list_of_two.has_applied(position(2)) is True
    list_of_two.apply(message(3, [{"lift": KID}], after=2, epoch=OTHER, time=LATER))
    assert not list_of_two.holds({}, KID) and list_of_two.applied == (OTHER, 3)


def test_within_an_epoch_the_position_tells_whatever_the_clock_does(list_of_two):
    list_of_two.apply(message(3, [{"lift": KID}, {"kid": "B" * 43}], after=2, time=EARLIER))
    assert not list_of_two.holds({}, KID) and list_of_two.applied == (EPOCH, 3)
    list_of_two.apply(message(4, [], time=EARLIER))
    assert list_of_two.holds({}, "B" * 43) and list_of_two.applied == (EPOCH, 4)


def test_the_later_of_two_expiries_counts(list_of_two):
    list_of_two.apply(message(3, [{"jti": jti(1), "exp": 50}], after=2))
    list_of_two.remove_expired(99)
    assert list_of_two.holds({"jti": jti(1)}, "other")
    list_of_two.remove_expired(100)
    assert not list_of_two.holds({"jti": jti(1)}, "other")


@pytest.mark.parametrize("expiries", [[100, 500], [500, 100]])
def test_the_later_of_two_expiries_in_one_message_counts(list_of_two, expiries):
    list_of_two.apply(message(4, [{"jti": jti(7), "exp": expiry} for expiry in expiries], after=2))
    list_of_two.remove_expired(499)
    assert list_of_two.holds({"jti": jti(7)}, "other")


def test_what_never_expires_is_never_forgotten(list_of_two):
    list_of_two.apply(message(3, [{"jti": jti(5), "exp": 0xFFFFFFFF}], after=2))
    list_of_two.remove_expired(1 << 40)
    assert list_of_two.holds({"jti": jti(5)}, "other") and list_of_two.holds({}, KID) and len(list_of_two) == 2


def test_applied_means_at_least_that_position_of_this_history(list_of_two):
    assert list_of_two.has_applied(position(2)) is True
    assert list_of_two.has_applied(position(3)) is False
    assert list_of_two.has_applied(position(1, OTHER)) is None
    with pytest.raises(ValueError):
        list_of_two.has_applied("x")


def test_a_list_of_a_node_that_is_behind_takes_back_neither_a_key_nor_what_is_applied(list_of_two):
    list_of_two.forget()
    assert list_of_two.has_applied(position(2)) is True, "a resync takes nothing back"
    list_of_two.apply(message(1, []))
    assert list_of_two.holds({}, KID) and list_of_two.has_applied(position(2)) is True
    assert list_of_two.position == position(1), "from there it goes on"
    list_of_two.apply(message(2, [{"lift": KID}], after=1))
    assert not list_of_two.holds({}, KID)


def test_changes_of_a_node_that_is_behind_lift_no_key_that_was_revoked_once_more(list_of_two):
    list_of_two.apply(message(4, [{"lift": KID}, {"kid": KID}], after=2))
    list_of_two.forget()
    list_of_two.apply(message(2, [{"kid": KID}]))
    list_of_two.apply(message(3, [{"lift": KID}], after=2))
    assert list_of_two.holds({}, KID)


def test_what_is_read_but_not_believed_changes_nothing(list_of_two):
    list_of_two.read(message(3, [{"jti": jti(5), "exp": 100}, {"lift": KID}], after=2))
    assert list_of_two.position == position(2) and list_of_two.has_applied(position(3)) is False
    assert list_of_two.holds({}, KID) and not list_of_two.holds({"jti": jti(5)}, "other")


@pytest.mark.parametrize("part", [[], None, {}, {"entries": None}, {"entries": [5]}, {"entries": [{"jti": 5, "exp": 5}]}])
def test_a_part_that_is_none_is_an_error_of_the_feed(list_of_two, part):
    with pytest.raises(BadMessage):
        list_of_two.add_part(part)


def test_parts_without_end_are_no_reason_to_fill_the_memory(list_of_two, monkeypatch):
    monkeypatch.setattr("latchkey_verifier.revocations.MOST_ENTRIES", 3)
    list_of_two.add_part({"entries": [{"jti": jti(5), "exp": 100}] * 3})
    with pytest.raises(BadMessage):
        list_of_two.add_part({"entries": [{"jti": jti(5), "exp": 100}]})


@pytest.mark.parametrize("entry, octets", [
    ({"jti": "00112233-4455-6677-8899-aabbccddeeff", "exp": 258},
     "0100112233445566778899aabbccddeeff00000102"),
    ({"sid": "00112233-4455-6677-8899-aabbccddeeff", "exp": 1 << 40},
     "0200112233445566778899aabbccddeeffffffffff"),
    ({"kid": KID}, "03" + "41" * 43), ({"lift": KID}, "04" + "41" * 43),
])
def test_entries_have_one_binary_form(entry, octets):
    assert parsed(entry)[3].hex() == octets


class Feed:
    """Signs as a node does."""

    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        octets = self.key.public_key().public_bytes_raw()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(octets).rstrip(b"=").decode()}
        self.jwks = {"keys": [{**jwk, "kid": "feed", "alg": "EdDSA", "use": "sig"}]}

    def sign(self, message, iss="https://id", typ="latchkey-feed+jwt", entries=None):
        entries = message["entries"] if entries is None else entries
        digest = hashlib.sha256(b"".join(parsed(entry)[3] for entry in entries)).digest()
        claims = {**{name: value for name, value in message.items() if name != "entries"}, "iss": iss,
                  "digest": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
        return {**message, "signature": jwt.encode(
            claims, self.key, algorithm="EdDSA", headers={"typ": typ, "kid": "feed"})}


def test_a_signed_message_counts_by_its_payload():
    feed = Feed()
    revocations = Applying(Signatures(feed.jwks, "https://id"))
    signed = feed.sign(message(1, [{"jti": jti(1), "exp": 100}]))
    assert revocations.apply({**signed, "as_of": 0}).as_of == 1, "what stands outside is not believed"
    assert revocations.holds({"jti": jti(1)}, "other")


@pytest.mark.parametrize("forge", [
    lambda feed: message(1, []),
    lambda feed: feed.sign(message(1, []), iss="https://other"),
    lambda feed: feed.sign(message(1, []), typ="at+jwt"),
    lambda feed: Feed().sign(message(1, [])),
    lambda feed: {**feed.sign(message(1, [{"jti": jti(1), "exp": 5}])), "entries": []},
    lambda feed: {**feed.sign(message(1, [{"jti": jti(1), "exp": 5}])), "entries": [{"jti": jti(2), "exp": 5}]},
    lambda feed: {**feed.sign(message(1, [])), "signature": "a.b.c"},
    lambda feed: {**feed.sign(message(1, [])), "signature": None},
    # Their digest is the same, and a look-up would not find what they name.
    lambda feed: {**feed.sign(message(1, [{"jti": A_JTI, "exp": 5}])),
                  "entries": [{"jti": A_JTI.upper(), "exp": 5}]},
    lambda feed: {**feed.sign(message(1, [{"jti": A_JTI, "exp": 5}])),
                  "entries": [{"jti": A_JTI, "exp": 5, "kid": KID}]},
])
def test_a_forged_message_changes_nothing(forge):
    feed = Feed()
    revocations = Applying(Signatures(feed.jwks, "https://id"))
    with pytest.raises(BadMessage):
        revocations.apply(forge(feed))
    assert revocations.position is None and len(revocations) == 0


def whole(pieces):
    return [event for event in events(pieces) if event[0]]


def test_events_are_read_as_the_standard_says_wherever_they_are_cut():
    text = b"retry: 1000\nevent: heartbeat\nid: p\ndata: {\"a\":\ndata: 1}\r\n\n: a comment\nevent: stale\ndata: {}\n\ndata: {"
    expected = [("heartbeat", "p", {"a": 1}), ("stale", None, {})]
    for length in (1, 2, 7, len(text)):
        assert whole(text[at:at + length] for at in range(0, len(text), length)) == expected


@pytest.mark.parametrize("line", [
    pytest.param(b"data: " + b"x" * 60_000, id="one line"), pytest.param(b"data:\n" * 10_000, id="empty lines"),
    pytest.param(b"event: x\n" * 9_000, id="no data")])
def test_an_event_without_end_is_no_reason_to_fill_the_memory(line):
    def feed():
        for count in range(100):
            assert count * len(line) <= LONGEST_EVENT + len(line)
            yield line

    with pytest.raises(BadMessage):
        whole(feed())


def test_every_piece_is_told_of_so_that_a_feed_that_drips_is_noticed():
    assert list(events([b"da", b"ta: 1"])) == [(None, None, None)] * 2


@pytest.mark.parametrize("data", [b"nope", pytest.param(b"[" * 100_000, id="deep"), pytest.param(b"1" * 5_000, id="long"), b"{"])
def test_json_that_is_none_is_an_error_of_the_feed(data):
    with pytest.raises((ValueError, RecursionError)):
        whole([b"data: " + data + b"\n\n"])
