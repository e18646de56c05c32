"""Who sends an octet at a time, wherever in an answer: it is given up, for the thread that reads would serve nothing else."""

import json
import socket
import threading
import time

import pytest

from feeds import EPOCH, jti, position
from latchkey_verifier import follower as module
from latchkey_verifier.follower import Follower
from latchkey_verifier.keys import fetch

OK = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: "
STREAM = OK + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LIST = OK + b"application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(octets):
    return b"%x\r\n%s\r\n" % (len(octets), octets)


class Dripping:
    """Says `start`, then `drip` again and again, for some seconds: longer than anybody here has patience."""

    def __init__(self, start, drip, pause=0.02, seconds=4):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}/revocations"
        self._answer = start, drip, pause, seconds
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        start, drip, pause, seconds = self._answer
        connection, _ = self.listener.accept()
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            nonce = request.split(b"nonce=")[1].split(b" ")[0].split(b"&")[0] if b"nonce=" in request else b""
            end = time.monotonic() + seconds
            try:
                connection.sendall(start)
                for piece in (drip(nonce) if callable(drip) else iter(lambda: drip, None)):
                    if time.monotonic() > end:
                        break
                    connection.sendall(piece)
                    time.sleep(pause)
            except OSError:
                pass  # It was given up.

    def close(self):
        self.listener.close()
        self._thread.join(10)


@pytest.fixture
def dripping():
    made = []

    def make(*answer, **options):
        made.append(Dripping(*answer, **options))
        return made[-1].address

    yield make
    for server in made:
        server.close()


@pytest.fixture
def follower(monkeypatch):
    def make(address):
        follower = Follower(address, stale_after=3)
        follower.silence = follower.poll_silence = 0.4
        follower.wait = 0
        return follower

    monkeypatch.setattr(module, "PATIENCE", 0.8)
    return make


def given_up_within(seconds, ask):
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        ask()
    assert time.monotonic() - begin < seconds


PLACES = {
    "status line": (b"", b"H"), "head": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "a field": (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("start, drip", [*PLACES.values(), (STREAM + b"1;", b"x"), (STREAM + b"0\r\n", b"A: b\r\n"), (
    STREAM, chunk(b":\n"))], ids=[*PLACES, "chunk extension", "trailers", "comments"])
def test_a_stream_that_drips_is_given_up(dripping, follower, start, drip):
    given_up_within(1.5, follower(dripping(start, drip))._stream)


@pytest.mark.parametrize("start, drip", [*PLACES.values(), (LIST + b"1;", b"x"), (LIST + b"0\r\n", b"A: b\r\n"), (
    LIST, chunk(b" "))], ids=[*PLACES, "chunk extension", "trailers", "body"])
def test_an_answer_that_drips_is_given_up(dripping, follower, start, drip):
    given_up_within(1.5, follower(dripping(start, drip))._poll)


@pytest.mark.parametrize("start, drip", [*PLACES.values(), (LIST + b"1;", b"x"), (LIST + b"0\r\n", b"A: b\r\n"), (
    LIST, chunk(b" "))], ids=[*PLACES, "chunk extension", "trailers", "body"])
def test_keys_that_drip_are_given_up_after_their_time_as_a_whole(dripping, start, drip):
    address = dripping(start, drip)
    given_up_within(1.5, lambda: fetch(address, timeout=0.4))


@pytest.mark.parametrize("event", [b'event: revoked\ndata: {"entries":[]}\n\n', b"event: of-a-later-version\ndata: {}\n\n"])
def test_a_stream_that_does_not_come_to_a_message_is_given_up_whatever_events_it_brings(dripping, follower, event):
    given_up_within(2, follower(dripping(STREAM, chunk(event)))._stream)


def test_what_is_done_with_a_message_here_is_not_the_nodes_silence(dripping, follower, monkeypatch):
    def answer(nonce):
        now = 5_000_000
        for number in range(1, 20):
            body = {"epoch": EPOCH, "position": position(1), "as_of": now, "now": now, "node": "n", "count": 0,
                    "time": "2027-01-15T08:00:00.000Z", "entries": [],
                    **({"nonce": nonce.decode()} if number == 1 else {"after": position(1)})}
            yield chunk(b"event: heartbeat\nid: %s\ndata: %s\n\n" % (position(1).encode(), json.dumps(body).encode()))
        yield b"0\r\n\r\n"

    follower = follower(dripping(STREAM, answer, pause=0.1, seconds=20))
    apply, taken = follower.revocations.apply, []

    def slow(message):
        apply(message)
        if not taken:
            time.sleep(2 * follower.silence)
        taken.append(message)

    monkeypatch.setattr(follower.revocations, "apply", slow)
    with pytest.raises(OSError, match="ended"):
        follower._stream()
    assert len(taken) == 19


def test_a_long_list_over_a_slow_link_is_no_drip(dripping, follower):
    def answer(nonce):
        now = 5_000_000
        body = json.dumps({
            "epoch": EPOCH, "position": position(1), "as_of": now, "now": now, "node": "n", "nonce": nonce.decode(),
            "time": "2027-01-15T08:00:00.000Z", "count": 6_000,
            "entries": [{"jti": jti(number), "exp": 1 << 31} for number in range(6_000)]}).encode()
        assert len(body) > 6 << 16
        for start in range(0, len(body), 1 << 16):
            yield chunk(body[start:start + (1 << 16)])
        yield b"0\r\n\r\n"

    follower = follower(dripping(LIST, answer, pause=0.2, seconds=20))
    follower.poll_silence = 5  # It is about the whole.
    begin = time.monotonic()
    with pytest.raises(OSError):  # There is nobody to be asked for more.
        follower._poll()
    assert time.monotonic() - begin > 1 and len(follower.revocations) == 6_000
