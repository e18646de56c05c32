"""The test vectors of docs/revocation.md, read from there: a follower in any language must do as this one."""

import copy
import io
import json
import pathlib

import pytest

from latchkey_verifier.follower import events
from latchkey_verifier.revocations import BadMessage, Revocations, Signatures

TEXT = (pathlib.Path(__file__).parents[3] / "docs" / "revocation.md").read_text()
KEY, MESSAGE = (json.loads(part.split("\n```")[0]) for part in TEXT.split("```json\n")[1:3])
STREAM = TEXT.split("```event-stream\n")[1].split("```")[0]


def followed(issuer="https://id.example", key=KEY):
    revocations = Revocations(Signatures({"keys": [key]}, issuer))
    revocations.apply(revocations.read(copy.deepcopy(MESSAGE)))
    return revocations


def stream():
    """Name, position and data of each event."""
    return [event for event in events(io.BytesIO((STREAM + "\n").encode())) if event[0]]


def take(revocations, stream):
    for _, id, data in stream:
        if id is None:
            revocations.add_part(data)
        else:
            revocations.apply(revocations.read(data))


def test_the_message_and_the_stream_behind_it_are_believed():
    revocations = followed()
    assert len(revocations) == 3
    take(revocations, stream())
    assert revocations.position.endswith(".5.DA0ODxAREhMUFRYX")
    assert revocations.holds({"sid": "018f3e2a-7b1c-7d4e-8a5b-00000000000a"}, "none")
    assert len(revocations) == 3 and not revocations.holds({}, KEY["kid"])


def without_part(events):
    del events[0]


def part_twice(events):
    events.insert(0, events[0])


def changed_places(events):
    events[0][2]["entries"], events[1][2]["entries"] = events[1][2]["entries"], events[0][2]["entries"]


def other_expiry(events):
    events[0][2]["entries"][0]["exp"] += 1


def other_kind(events):
    entry = events[0][2]["entries"][0]
    entry["jti"] = entry.pop("sid")


def other_signature(events):
    signature = events[1][2]["signature"]
    # Four of the last letter's bits count.
    events[1][2]["signature"] = signature[:-1] + ("A" if signature[-1] not in "ABCD" else "Q")


def signature_of_the_heartbeat(events):
    events[1][2]["signature"] = events[2][2]["signature"]


def message_twice(events):
    events.insert(2, events[1])


CHANGES = [without_part, part_twice, changed_places, other_expiry, other_kind, other_signature,
           signature_of_the_heartbeat, message_twice]


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_refused_and_nothing_of_it_applied(change):
    revocations, changed = followed(), copy.deepcopy(stream())
    change(changed)
    with pytest.raises(BadMessage):
        take(revocations, changed)
    is_second = change is message_twice
    assert revocations.position == (stream()[1][1] if is_second else MESSAGE["position"])
    assert revocations.holds({}, KEY["kid"]) is not is_second


def test_another_position_issuer_or_key_is_refused():
    elsewhere = followed()
    elsewhere.position = elsewhere.position.replace(".3.", ".2.")
    with pytest.raises(BadMessage):
        take(elsewhere, stream())
    for options in ({"issuer": "https://id.example.org"}, {"key": {**KEY, "x": "A" * 42 + "E"}}):
        with pytest.raises(BadMessage):
            followed(**options)
