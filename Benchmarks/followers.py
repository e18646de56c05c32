"""Thousands of followers of the revocation stream on one node: what they cost while nothing happens, how soon they hear,
and what becomes of those who do not read.

    python3 Benchmarks/followers.py [BINARY] [FOLLOWERS]

The reader of the streams runs in this process, on the same machine: its CPU is not the node's.
"""

import argparse
import resource
import selectors
import socket
import sys
import time
import urllib.parse

from report import table
from service import PASSWORD, Service, ask, cpu_of, resident

IDLE_SECONDS = 20
REVOCATIONS = 50
SLOW = 100
SLOW_SECONDS = 60


class Follower:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"GET /revocations/stream HTTP/1.1\r\nHost: bench\r\n\r\n")
        self.socket.setblocking(False)
        self.tail = b""
        self.heard = {}
        self.beats = 0

    def read(self, wanted):
        data = self.socket.recv(1 << 16)
        if not data:
            raise SystemExit("a stream ended")
        now = time.monotonic()
        text = self.tail + data
        self.beats += data.count(b"event: heartbeat")
        for sid in wanted:
            if sid not in self.heard and sid in text:
                self.heard[sid] = now
        self.tail = text[-64:]


def serve(selector, followers, seconds, wanted=(), until=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        for key, _ in selector.select(0.05):
            key.data.read(wanted)


def idle(service, count):
    """Rows of what `count` followers cost, and when they hear."""
    node = service.pid
    sessions = [
        ask("POST", service.url + "/auth/login", body={"username": "admin", "password": PASSWORD}).json()
        for _ in range(REVOCATIONS)
    ]
    time.sleep(2)
    began, memory = cpu_of(node), resident(node)
    time.sleep(IDLE_SECONDS)
    alone = (cpu_of(node) - began) / IDLE_SECONDS

    selector = selectors.DefaultSelector()
    followers = []
    for _ in range(count):
        follower = Follower(service.port)
        selector.register(follower.socket, selectors.EVENT_READ, follower)
        followers.append(follower)
        serve(selector, followers, 0)
    serve(selector, followers, 5)
    beats, began = sum(follower.beats for follower in followers), cpu_of(node)
    serve(selector, followers, IDLE_SECONDS)
    busy = (cpu_of(node) - began) / IDLE_SECONDS
    held = resident(node)
    rate = (sum(follower.beats for follower in followers) - beats) / IDLE_SECONDS / count

    delays = []
    for session in sessions:
        sid = session["session_id"].encode()
        answer = ask("POST", service.url + "/oauth2/revoke", form={"token": session["refresh_token"]})
        acknowledged = time.monotonic()
        assert answer.status == 200, answer.status
        serve(selector, followers, 5, [sid], lambda: all(sid in follower.heard for follower in followers))
        delays += [follower.heard[sid] - acknowledged for follower in followers if sid in follower.heard]
    missed = REVOCATIONS * count - len(delays)
    delays.sort()
    for follower in followers:
        follower.socket.close()
    return [
        ["memory of the node, MiB: before, with them, KiB for each",
         f"{memory:.0f}, {held:.0f}, {(held - memory) * 1024 / count:.1f}"],
        ["CPU of the node, cores: before, with them", f"{alone:.3f}, {busy:.3f}"],
        ["heartbeats a second for each", f"{rate:.2f}"],
        ["revoked → heard, ms: p50, p99, missed",
         f"{delays[len(delays) // 2] * 1000:.1f}, {delays[len(delays) * 99 // 100] * 1000:.1f}, {missed}"],
    ]


def held_by(service):
    url = urllib.parse.urlsplit(service.url)
    text = ask("GET", f"http://{url.hostname}:{min(url.port + 1000, 65535)}/metrics").body.decode()
    return int(next(line for line in text.splitlines() if line.startswith("latchkey_feed_followers ")).split()[1])


def slow(service, revoke):
    """Rows of what becomes of those who never read, while `revoke` runs for `SLOW_SECONDS`."""
    sockets = []
    for _ in range(SLOW):
        follower = socket.socket()
        # The kernel holds little for them.
        follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        follower.connect(("127.0.0.1", service.port))
        follower.sendall(b"GET /revocations/stream HTTP/1.1\r\nHost: bench\r\n\r\n")
        sockets.append(follower)
    time.sleep(2)
    # It opens the sessions first: that is none of the time.
    running = revoke(SLOW_SECONDS)
    before, began, most, dropped = resident(service.pid), time.monotonic(), 0, None
    while running.poll() is None:
        most = max(most, resident(service.pid))
        if dropped is None and held_by(service) <= 1:
            dropped = time.monotonic() - began
        time.sleep(0.2)
    if running.returncode:
        raise SystemExit(f"the revocations ended with {running.returncode}")
    left = held_by(service)
    for follower in sockets:
        follower.close()
    after = f"after {dropped:.0f} s" if dropped else f"{left} of them never"
    return [[f"{SLOW} that never read, at 500 revocations/s: dropped, memory of the node at most beyond before, MiB",
             f"{after}, {most - before:.0f}"]]


def crowd(options, progress, revoke=None):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Service(options.binary) as service:
        progress(f"crowd: {options.followers:,} followers")
        rows = idle(service, options.followers)
        if revoke:
            progress(f"crowd: {SLOW} followers that do not read")
            rows += slow(service, revoke(service))
    print(table([f"{options.followers:,} followers of one node", ""], rows), "\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary", nargs="?", default=".build/release/latchkey")
    arguments.add_argument("followers", nargs="?", type=int, default=2000)
    crowd(arguments.parse_args(), lambda text: print(text, file=sys.stderr))
