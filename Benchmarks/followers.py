"""2,000 followers of the revocation stream on one node: what they cost while nothing happens, and how soon they hear.

    python3 Benchmarks/followers.py [BINARY] [FOLLOWERS]

Prints a Markdown table. The reader of the streams runs in this process, on the same machine: its CPU is not the node's.
"""

import resource
import selectors
import socket
import sys
import time

from service import PASSWORD, Service, ask, cpu_of, resident

IDLE_SECONDS = 20
REVOCATIONS = 50


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


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else ".build/release/latchkey"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    service = Service(binary)
    try:
        node = service.nodes[0].pid
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
        print(f"| {count} followers of one node | |")
        print("|---|---|")
        print(f"| memory of the node, MiB: before, with them, KiB for each | {memory:.0f}, {held:.0f}, "
              f"{(held - memory) * 1024 / count:.1f} |")
        print(f"| CPU of the node, cores: before, with them | {alone:.3f}, {busy:.3f} |")
        print(f"| heartbeats a second for each | {rate:.2f} |")
        print(f"| revoked → heard, ms: p50, p99, missed | {delays[len(delays) // 2] * 1000:.1f}, "
              f"{delays[len(delays) * 99 // 100] * 1000:.1f}, {missed} |")
    finally:
        service.stop()


if __name__ == "__main__":
    main()
