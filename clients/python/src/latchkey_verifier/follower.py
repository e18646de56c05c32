"""Follows the feed on a thread of its own: the stream, and where that cannot be had, polls that are held open."""

import http.client
import json
import logging
import random
import secrets
import socket
import threading
import urllib.parse

from .freshness import Freshness, boot_now, wall_now
from .revocations import BadMessage, Revocations

log = logging.getLogger("latchkey_verifier")

# A heartbeat comes every second: who hears nothing for so many seconds is cut off and does not know.
SILENCE = 5
# A message is at most 500 entries of about 70 bytes; a whole list in one answer may be long.
LONGEST_LINE = 1 << 20
LONGEST_ANSWER = 1 << 30
# After so many attempts without one message the stream is left alone for `POLLING` seconds.
ATTEMPTS = 3
POLLING = 60


class Resync(Exception):
    """What we hold is of another history, or too old: from the start."""


class Follower:
    """`wait` is how many seconds a poll is held: at most a third of what may be stale, since it looks older by that."""

    def __init__(self, url, *, wait, signatures=None, headers=None, boot=boot_now, wall=wall_now):
        self.url, self.wait = urllib.parse.urlsplit(url), max(0, int(wait))
        self.revocations = Revocations(signatures)
        self.freshness = Freshness()
        self.changed = threading.Condition()
        self._headers = headers or {}
        self._boot, self._wall = boot, wall
        self._ended = threading.Event()
        self._connection = None

    def age(self):
        return self.freshness.age(self._boot(), self._wall())

    def run(self):
        """Until `end`; whatever fails is tried again, sooner or later at random, so that many do not come at once."""
        failures = 0
        while not self._ended.is_set():
            try:
                follow = self._poll if failures >= ATTEMPTS else self._stream
                heard = follow()
                failures = 0 if heard else failures + 1
            except Resync:
                self.revocations.forget()
                continue
            except (OSError, http.client.HTTPException, BadMessage, ValueError, KeyError) as error:
                failures += 1
                if failures in (1, ATTEMPTS):
                    log.warning("the revocation feed is not to be had: %s: %s", type(error).__name__, error)
            finally:
                self._close()
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

    def _get(self, path, query, timeout, headers):
        """r0 is read before anything is sent, or a delay would make the set look fresher than it is."""
        nonce = secrets.token_urlsafe(16)
        r0, wall = self._boot(), self._wall()
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        self._connection = connection = kind(self.url.hostname, self.url.port, timeout=timeout)
        target = f"{self.url.path}{path}?{urllib.parse.urlencode({'nonce': nonce, **query})}"
        connection.request("GET", target, headers={**self._headers, **headers})
        answer = connection.getresponse()
        if answer.status == 410:
            raise Resync
        if answer.status != 200:
            raise OSError(f"the feed answered {answer.status}")

        def take(message):
            """The first message of this connection is the anchor, and it must be meant for us."""
            signed = self.revocations.apply(message)
            if signed.get("nonce") == nonce and "no-store" in answer.headers.get("Cache-Control", ""):
                self.freshness.anchor(signed["node"], r0, signed["now"], wall)
            elif self.freshness.node != signed["node"] or nonce not in anchored:
                raise BadMessage("the first message is not an answer to us")
            anchored.add(nonce)
            self.freshness.claim(signed["node"], signed["as_of"])
            with self.changed:
                self.changed.notify_all()

        anchored = set()
        return answer, take

    def _stream(self):
        position = self.revocations.position
        answer, take = self._get(
            "/stream", {}, SILENCE,
            {"Accept": "text/event-stream", **({"Last-Event-ID": position} if position else {})})
        if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise OSError("the answer is no stream")
        began, heard, pruned = self._boot(), False, self._boot()
        try:
            for event, id, data in events(answer):
                if event == "resync":
                    self.revocations.forget()
                elif event in ("revoked", "lifted", "heartbeat"):
                    if id is None:
                        self.revocations.add_part(data["entries"])
                        continue
                    take(data)
                    heard = True
                    # A new anchor: connect anew behind the position.
                    if self.freshness.needs_anchor(self._boot()):
                        return True
                if self._boot() - pruned > 60_000:
                    pruned = self._boot()
                    self.revocations.remove_expired(self._wall() // 1000)
                if self._ended.is_set():
                    return True
        finally:
            self.revocations.drop_parts()
        return heard and self._boot() - began > 1000

    def _poll(self):
        """For a while; then the stream is tried again. Each poll has a nonce and is an anchor of its own."""
        began = self._boot()
        while self._boot() - began < POLLING * 1000 and not self._ended.is_set():
            position = self.revocations.position
            query = {"after": position, "wait": self.wait} if position else {}
            answer, take = self._get("", query, SILENCE + self.wait, {"Accept": "application/json"})
            body = answer.read(LONGEST_ANSWER)
            self._close()
            take(json.loads(body))
            self.revocations.remove_expired(self._wall() // 1000)
            if self.wait == 0:
                self._ended.wait(1)
        return False


def events(lines):
    """Server-sent events (HTML Living Standard §9.2.6): name, id and JSON of each."""
    event, id, data = "message", None, []
    while True:
        line = lines.readline(LONGEST_LINE + 1)
        if not line:
            return
        if len(line) > LONGEST_LINE:
            raise BadMessage("a line without end")
        line = line.rstrip(b"\r\n")
        if not line:
            if data:
                yield event, id, json.loads(b"\n".join(data))
            event, id, data = "message", None, []
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"event":
            event = value.decode()
        elif field == b"id":
            id = value.decode()
        elif field == b"data":
            data.append(value)
