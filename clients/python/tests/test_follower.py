"""The follower against a node that says, over real sockets, whatever a test tells it to."""

import logging
import threading
import time

import pytest

from feeds import KID, FakeNode, becomes, jti, position
from latchkey_verifier import follower as module
from latchkey_verifier.follower import Follower
from latchkey_verifier.freshness import boot_now, wall_now

DEEP = pytest.param(b"[" * 200_000, id="deep")
LIST, STREAM = "/revocations", "/revocations/stream"


class Clocks:
    """This machine's, and how far the test has moved them."""

    def __init__(self):
        self.boot_moved = self.wall_moved = 0

    def boot(self):
        return boot_now() + self.boot_moved

    def wall(self):
        return wall_now() + self.wall_moved

    def advance(self, milliseconds):
        self.boot_moved += milliseconds
        self.wall_moved += milliseconds


@pytest.fixture
def node():
    node = FakeNode()
    yield node
    node.end()


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def follow(node, clocks):
    made = []

    def make(stale_after=5, **options):
        follower = Follower(node.address + LIST, stale_after=stale_after, boot=clocks.boot, wall=clocks.wall, **options)
        thread = threading.Thread(target=follower.run, daemon=True)
        thread.start()
        made.append((follower, thread))
        return follower

    yield make
    for follower, _ in made:
        follower.end()
    node.has_ended = True
    for _, thread in made:
        thread.join(10)
        assert not thread.is_alive()


def good_stream(call, seq=1):
    call.stream(seq)
    call.heartbeats(seq)


BAD_DATA = [
    b"[]", b"null", b"5", b'"text"', b"{", b"{}", b'{"entries":5}', b'{"entries":null}', b'{"entries":[null]}',
    b'{"entries":[{"jti":"' + jti(1).encode() + b'","exp":-1}]}', pytest.param(b"1" * 5_000, id="long number"), DEEP, b"\xff",
]


@pytest.mark.parametrize("id", [None, "p"])
@pytest.mark.parametrize("data", BAD_DATA)
def test_no_bytes_of_the_feed_end_the_follower(node, follow, monkeypatch, data, id):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)

    def stream(call):
        if node.count(STREAM) > 1:
            return good_stream(call)
        call.answer(Content_Type="text/event-stream")
        call.event("heartbeat", data, id)

    node.answers[STREAM] = stream
    follower = follow()
    assert becomes(lambda: not follower.is_stale, 10)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", DEEP])
def test_no_bytes_of_a_poll_end_the_follower(node, follow, monkeypatch, body):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)
    node.answers[STREAM] = lambda call: call.answer(status=404)
    node.answers[LIST] = lambda call: (
        call.answer(body) if node.count(LIST) < 3 else call.answer(call.message(1, nonce=call.query["nonce"])))
    follower = follow()
    assert becomes(lambda: not follower.is_stale, 10)


def test_a_node_that_knows_no_position_is_not_asked_without_a_pause(node, follow):
    node.answers[STREAM] = node.answers[LIST] = lambda call: call.answer(status=410)
    follow()
    assert becomes(lambda: len(node.asked) > 1, 10)
    time.sleep(1)
    assert len(node.asked) < 20


def test_after_a_while_of_polls_the_stream_is_tried_again_without_a_pause(node, follow, monkeypatch):
    monkeypatch.setattr(module, "POLLING", 1.5)
    node.answers[STREAM] = lambda call: good_stream(call) if node.count(STREAM) > 3 else call.answer(status=404)
    node.answers[LIST] = lambda call: call.answer(call.message(1, nonce=call.query["nonce"], after=1 if "after" in call.query else None))
    follower = follow()
    assert becomes(lambda: node.count(STREAM) > 3, 15)
    paths = [path for _, path, _ in node.asked]
    assert paths.index(LIST) == 3 and paths[-1] == STREAM
    assert node.asked[-1][0] - node.asked[-2][0] < 0.5, "nothing is missed between"
    polls = len(node.asked)
    time.sleep(0.5)
    assert len(node.asked) == polls and not follower.is_stale, "it stays with the stream"


@pytest.mark.parametrize("stale_after, wait", [(3, 1), (5, 1), (30, 10), (90, 30), (3600, 30)])
def test_no_answer_is_held_for_longer_than_a_node_would(stale_after, wait):
    assert Follower("http://127.0.0.1:1", stale_after=stale_after).wait == wait


@pytest.mark.parametrize("refused", [
    {"nonce": "another"}, {"nonce": None}, {"as_of": -1}, {"now": 0}, {"time": "x"}, {"count": 9}, {"node": None},
])
def test_a_message_that_is_refused_changes_nothing(node, follow, monkeypatch, refused):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)

    def stream(call):
        if node.count(STREAM) == 1:
            return call.stream(5, [{"kid": KID}])
        call.stream(6, [{"jti": jti(1), "exp": 1 << 31}], **refused)
        call.heartbeats(6)

    node.answers[STREAM] = stream
    node.answers[LIST] = lambda call: call.answer(status=503)
    follower = follow()
    assert becomes(lambda: node.count(STREAM) > 2, 10)
    assert follower.revocations.holds({}, KID), "a list that does not answer us takes no key back"
    assert not follower.revocations.holds({"jti": jti(1)}, "")
    assert follower.revocations.has_applied(position(6)) is False and follower.revocations.position == position(5)


def test_an_answer_that_is_kept_on_its_way_proves_nothing(node, follow):
    def stream(call):
        call.answer(Content_Type="text/event-stream", Cache_Control="public, max-age=1")
        call.event("heartbeat", call.message(1, nonce=call.query["nonce"]), position(1))

    node.answers[STREAM] = stream
    follower = follow()
    assert becomes(lambda: node.count(STREAM) > 1, 10)
    assert follower.ground()[0] is None and follower.revocations.position is None


def test_a_clock_that_jumps_asks_for_a_new_anchor_at_once(node, follow, clocks):
    node.answers[STREAM] = good_stream
    follower = follow()
    assert becomes(lambda: not follower.is_stale, 10)
    time.sleep(1.2)
    clocks.wall_moved += 3_600_000
    assert follower.is_stale and follower.ground()[0] is None
    assert becomes(lambda: not follower.is_stale, 10)
    assert node.count(STREAM) == 2


def test_a_pause_while_the_first_answer_is_awaited_is_not_hidden_by_a_wall_clock_that_is_stepped_back(
        node, follow, clocks):
    may_answer = threading.Event()

    def stream(call):
        if node.count(STREAM) == 1:
            may_answer.wait(20)
        good_stream(call)

    node.answers[STREAM] = stream
    follower = follow()
    assert becomes(lambda: node.count(STREAM) == 1)
    clocks.wall_moved += 600_000
    assert follower.is_stale
    clocks.wall_moved -= 600_000
    may_answer.set()
    assert becomes(lambda: not follower.is_stale)
    assert node.count(STREAM) == 2


def test_a_node_that_is_stale_is_left_once_the_limit_is_reached(node, follow, clocks):
    def stream(call):
        if node.count(STREAM) > 1:
            return good_stream(call)
        call.stream()
        while not node.has_ended:
            call.event("stale", {"node": "n", "now": 1})
            time.sleep(0.05)

    node.answers[STREAM] = stream
    follower = follow()
    assert becomes(lambda: not follower.is_stale, 10)
    time.sleep(0.3)
    assert node.count(STREAM) == 1, "not before"
    clocks.advance(5_001)
    assert becomes(lambda: node.count(STREAM) > 1 and not follower.is_stale, 10)


def test_a_node_that_is_stale_is_left_long_before_a_new_anchor_is_due(node, follow, clocks):
    def stream(call):
        if node.count(STREAM) > 1:
            return good_stream(call)
        call.stream(age=59_000)
        while not node.has_ended:
            call.event("stale", {"node": "n", "now": 1})
            time.sleep(0.05)

    node.answers[STREAM] = stream
    follower = follow(stale_after=60)
    assert becomes(lambda: node.count(STREAM) > 1 and not follower.is_stale, 20)


def test_a_stream_whose_claims_all_look_old_is_left(node, follow, clocks):
    def stream(call):
        call.stream()
        while not node.has_ended:
            # The node's machine stood still for an hour since the anchor.
            call.event("heartbeat", call.message(1, after=1, age=3_600_000), position(1))
            time.sleep(0.05)

    node.answers[STREAM] = lambda call: good_stream(call) if node.count(STREAM) > 1 else stream(call)
    follower = follow()
    assert becomes(lambda: not follower.is_stale, 10)
    clocks.advance(5_001)
    assert becomes(lambda: node.count(STREAM) > 1 and not follower.is_stale, 10)


def test_a_stream_that_drips_and_says_nothing_is_left(node, follow, clocks):
    def stream(call):
        call.stream()
        while not node.has_ended:
            call.wfile.write(b": still here\n")
            time.sleep(0.05)

    node.answers[STREAM] = lambda call: good_stream(call) if node.count(STREAM) > 1 else stream(call)
    follower = follow(stale_after=6)
    assert becomes(lambda: not follower.is_stale, 10)
    assert becomes(lambda: node.count(STREAM) > 1, 10)
    assert not follower.is_stale, "long before it is stale"


@pytest.mark.parametrize("piece", [b" ", b" " * (1 << 16)], ids=["slow", "long"])
def test_an_answer_without_end_is_given_up(node, follow, monkeypatch, piece):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)
    monkeypatch.setattr(module, "LONGEST_ANSWER", 1 << 20)
    monkeypatch.setattr(module, "PATIENCE", 0.5)

    def answer(call):
        if node.count(LIST) > 1:
            return call.answer(call.message(1, nonce=call.query["nonce"]))
        call.answer()
        while not node.has_ended:
            call.wfile.write(piece)
            time.sleep(0.02)

    node.answers[STREAM] = lambda call: call.answer(status=404)
    node.answers[LIST] = answer
    follower = follow(stale_after=3)
    assert becomes(lambda: node.count(LIST) == 1, 10)
    assert becomes(lambda: node.count(LIST) > 1 and not follower.is_stale, 10)


def test_a_poll_that_does_not_go_on_where_the_follower_stands_asks_for_the_whole_list(node, follow, monkeypatch):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)
    node.answers[STREAM] = lambda call: call.answer(status=404)
    node.answers[LIST] = lambda call: call.answer(
        call.message(9, after=5, nonce=call.query["nonce"]) if "after" in call.query
        else call.message(1, nonce=call.query["nonce"]))
    follow()
    assert becomes(lambda: [path for _, path, query in list(node.asked) if path == LIST and "after" not in query][1:], 10)


def test_the_parts_of_a_stream_that_broke_do_not_count_with_the_next(node, follow, monkeypatch):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)

    def stream(call):
        if node.count(STREAM) > 1:
            return good_stream(call)
        call.stream()
        call.event("revoked", {"entries": [{"jti": jti(1), "exp": 9_999_999_999}]})

    node.answers[STREAM] = stream
    follow()
    assert becomes(lambda: node.count(STREAM) == 2, 10)
    time.sleep(0.5)
    assert node.count(STREAM) == 2, "its first message was believed"


def test_the_log_is_told_once_of_each_reason_and_of_no_secret(node, follow, caplog, monkeypatch):
    monkeypatch.setattr(module.random, "uniform", lambda least, most: 0.01)
    status = 503
    node.answers[STREAM] = node.answers[LIST] = lambda call: call.answer(status=status)

    def warnings():
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    follow()
    assert becomes(lambda: len(node.asked) > 10, 10)
    assert warnings() == ["the revocation feed cannot be followed: the feed answered 503"]
    status = 401
    assert becomes(lambda: len(warnings()) > 1, 10)
    asked = len(node.asked)
    assert becomes(lambda: len(node.asked) > asked + 5, 10)
    assert warnings()[1:] == ["the revocation feed cannot be followed: the feed answered 401"]


def test_a_header_that_cannot_be_sent_is_not_logged(follow, caplog):
    follow(headers={"Authorization": "Basic c2VjcmV0\n"})
    assert becomes(lambda: caplog.records, 10)
    assert "ValueError" in caplog.text and "c2VjcmV0" not in caplog.text
