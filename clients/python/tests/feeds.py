"""A node over real sockets that says what a test tells it to, by the words of `docs/revocation.md` or against them."""

import contextlib
import http.server
import json
import threading
import time
import urllib.parse
import uuid

EPOCH = "018f0000-0000-7000-8000-000000000001"
KID = "A" * 43


def position(seq, epoch=EPOCH):
    return f"{epoch}.{seq}.{'c' * 16}"


def jti(number):
    return str(uuid.UUID(int=number))


def becomes(condition, within=20):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


class FakeNode:
    """`answers` maps the end of a path to what answers it: a function of the call."""

    def __init__(self):
        self.asked, self.answers = [], {}
        node = self

        class Call(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                self.query = dict(urllib.parse.parse_qsl(url.query))
                node.asked.append((time.monotonic(), url.path, self.query))
                with contextlib.suppress(OSError):
                    node.answers[url.path](self)

            def answer(self, body=b"", status=200, **headers):
                self.send_response(status)
                for name, value in {"Cache_Control": "no-store", **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

            def event(self, name, data, id=None):
                data = data if isinstance(data, bytes) else json.dumps(data).encode()
                self.wfile.write(
                    b"event: %s\n" % name.encode() + (b"id: %s\n" % id.encode() if id else b"") + b"data: %s\n\n" % data)

            def message(self, seq, entries=(), after=None, age=0, **members):
                now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000 + 7_000_000
                utc = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - age / 1000))
                return {
                    "epoch": EPOCH, "position": position(seq), "as_of": now - age, "now": now, "node": "n", "time": utc,
                    "count": len(entries), "entries": list(entries),
                    **({} if after is None else {"after": position(after)}), **members}

            def stream(self, seq=1, entries=(), age=0, **members):
                """The head and the first message: the whole list."""
                self.answer(Content_Type="text/event-stream")
                first = self.message(seq, entries, age=age, **{"nonce": self.query["nonce"], **members})
                self.event("heartbeat", first, position(seq))

            def heartbeats(self, seq=1, every=0.05):
                while not node.has_ended:
                    self.event("heartbeat", self.message(seq, after=seq), position(seq))
                    time.sleep(every)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.has_ended = False
        self.server = Server(("127.0.0.1", 0), Call)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def count(self, path):
        return sum(1 for _, asked, _ in list(self.asked) if asked == path)

    def end(self):
        self.has_ended = True
        self.server.shutdown()
        self.server.server_close()
