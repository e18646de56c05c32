"""Follows the feed on a thread of its own: the stream, and where that cannot be had, polls that are held open."""

import http.client
import json
import random
import secrets
import socket
import threading
import urllib.parse

from .errors import BadMessage, Trouble
from .freshness import Freshness, Request, boot_now, wall_now
from .patience import Patience, patient
from .revocations import Revocations

# A part is at most 500 entries of about 70 bytes; a whole list in one answer may be long.
LONGEST_EVENT = 1 << 20
LONGEST_ANSWER = 1 << 28
# Seconds within which an answer, or the first message of a stream, is here to its end, beside the longest wait.
PATIENCE = 30
# After so many failures in a row the stream is left alone for `POLLING` seconds.
ATTEMPTS = 3
POLLING = 60
# Expired entries go once in so many seconds.
SWEEP = 60


class Follower:
    """`stale_after` is in seconds, at least 3."""

    def __init__(self, url, *, stale_after, signatures=None, headers=None, boot=boot_now, wall=wall_now):
        self.url = urllib.parse.urlsplit(url)
        # A held answer looks older by as long as it was held, and no node holds one for longer than 30 s.
        self.wait = int(min(30, stale_after / 3))
        # Who hears nothing for so many seconds is cut off and does not know: heartbeats come every second.
        self.silence, self.poll_silence = min(max(2, stale_after / 2), 10), self.wait + max(1, stale_after / 3)
        self.revocations = Revocations(signatures)
        self.changed = threading.Condition()
        self._freshness, self._lock = Freshness(stale_after * 1000), threading.Lock()
        self._headers, self._boot, self._wall = headers or {}, boot, wall
        self._ended = threading.Event()
        self._trouble = Trouble("the revocation feed cannot be followed")
        self._connection, self._patience, self._has_heard, self._swept_at = None, None, False, 0

    def _by_clocks(self, *questions):
        with self._lock:
            now = self._boot(), self._wall()
            return [question(*now) for question in questions]

    def ground(self):
        """What a verdict rests on: the list's age in milliseconds (or None), whether it is stale, and the second by which
        a token's times are judged. To be read **before** the set is asked, which only grows in between."""
        return self._by_clocks(self._freshness.age, self._freshness.is_stale, self._freshness.second)

    @property
    def is_stale(self):
        return self.ground()[1]

    def run(self):
        """Until `end`. Whatever fails is tried again, sooner or later at random, so that many do not come at once."""
        failures, is_probe = 0, False
        while not self._ended.is_set():
            is_poll, began, error, self._has_heard = failures >= ATTEMPTS, self._boot(), None, False
            try:
                (self._poll if is_poll else self._stream)()
            except Exception as caught:  # Whatever the feed sends: without this thread nothing would be fresh again.
                error = caught
            finally:
                self._close()
            # One that ends at once, or leaves us stale, is no way to follow, even where something was heard.
            if self._has_heard and self._boot() - began > 1000 and not self.is_stale:
                failures = 0 if not is_poll else ATTEMPTS if error else ATTEMPTS - 1
                if error is None:
                    is_probe = is_poll
                    continue  # A new anchor is due, or the stream is tried again: nothing may be missed meanwhile.
            else:
                failures += 1
            if is_poll and isinstance(error, BadMessage):
                self.revocations.forget()  # An answer that does not go on where we stand will not get better.
            if is_probe:
                is_probe = False
                continue  # Back to the polls, which serve.
            if error and not self._ended.is_set():
                self._trouble.failed(error)
            self._ended.wait(random.uniform(0, min(10, 0.2 * 2 ** min(failures, 6))))

    def end(self):
        """From another thread: the one that reads finds the end of the stream."""
        self._ended.set()
        connection = self._connection
        if connection and connection.sock:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It was gone already.

    def _close(self):
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def _ask(self, path, query, silence, headers):
        """The clocks are read before anything is sent, or a delay would make the set look fresher than it is."""
        self._by_clocks(self._freshness.observe)
        request = Request(secrets.token_urlsafe(16), self._boot(), self._wall())
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        self._patience = Patience(silence, PATIENCE + self.wait)
        self._connection = connection = patient(
            kind(self.url.hostname, self.url.port, timeout=silence), self._patience)
        target = f"{self.url.path}{path}?{urllib.parse.urlencode({'nonce': request.nonce, **query})}"
        connection.request("GET", target, headers={**self._headers, **headers})
        answer = connection.getresponse()
        if answer.status == 410:
            self.revocations.forget()
        if answer.status != 200:
            raise OSError(f"the feed answered {answer.status}")
        if "no-store" not in answer.headers.get("Cache-Control", ""):
            raise OSError("the feed's answer is one that is kept on its way")
        return request, answer

    def _take(self, message, request):
        """All checks come before anything is applied."""
        message = self.revocations.read(message)
        self._by_clocks(lambda *now: self._freshness.judge(message, request, *now))
        self.revocations.apply(message)
        self._by_clocks(lambda *now: self._freshness.take(message, request, *now))
        if self._boot() - self._swept_at > SWEEP * 1000:
            self._swept_at = self._boot()
            self.revocations.remove_expired(*self._by_clocks(self._freshness.forget))
        self._has_heard = True
        self._trouble.is_over()
        with self.changed:
            self.changed.notify_all()

    def _stream(self):
        """Returns where a new anchor is due."""
        position = self.revocations.position
        request, answer = self._ask(
            "/stream", {}, self.silence,
            {"Accept": "text/event-stream", **({"Last-Event-ID": position} if position else {})})
        if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise OSError("the feed's answer is no stream")
        try:
            for name, id, data in events(pieces(answer)):
                if name:
                    self._patience.heard()
                if name == "resync":
                    self.revocations.forget()
                elif name == "stale" and self.is_stale:
                    raise OSError("the node cannot tell how fresh it is")  # Another may.
                elif name in ("revoked", "lifted", "heartbeat"):
                    if id is None:
                        self.revocations.add_part(data)
                        continue
                    self._take(data, request)
                    request = None
                    self._patience.goes_on()
                    self._patience.heard()  # What was done with it here is not the node's silence.
                if self._ended.is_set() or (request is None and self._by_clocks(self._freshness.needs_anchor)[0]):
                    return
        finally:
            self.revocations.drop_parts()
        raise OSError("the stream ended")

    def _poll(self):
        """For a while; then the stream is tried again. Each poll has a nonce and is an anchor of its own."""
        began = self._boot()
        while self._boot() - began < POLLING * 1000 and not self._ended.is_set():
            position = self.revocations.position
            query = {"after": position, "wait": self.wait} if position else {}
            request, answer = self._ask("", query, self.poll_silence, {"Accept": "application/json"})
            body = bytearray()
            for piece in pieces(answer):
                body += piece
                if len(body) > LONGEST_ANSWER:
                    raise OSError("the feed's answer has no end")
                self._patience.heard()
            self._close()
            self._take(json.loads(body), request)
            self._ended.wait(0.1)  # Where somebody on the way does not hold answers.


def pieces(answer):
    while piece := answer.read1(1 << 16):
        yield piece


def events(pieces):
    """Server-sent events (HTML Living Standard §9.2.6): name, id and JSON of each; three times None after each piece."""
    rest, size = b"", 0
    event, id, data = "message", None, []
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            size += len(line) + 1
            if size > LONGEST_EVENT:
                break
            line = line.removesuffix(b"\r")
            if not line:
                if data:
                    yield event, id, json.loads(b"\n".join(data))
                event, id, data, size = "message", None, [], 0
                continue
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                event = value.decode()
            elif field == b"id":
                id = value.decode()
            elif field == b"data":
                data.append(value)
        if size + len(rest) > LONGEST_EVENT:
            raise BadMessage("an event without end")
        yield None, None, None
