"""Followers that come and go, in a process of their own: `feed_gaps.py` starts it.

    python3 restless.py FOLDER FOLLOWERS URL...

Each follows a node for a while, hangs up, and comes back to another: half of the times with what it knows and its position,
half of the times with nothing, as after a kill. The line `target POSITION` on standard input makes them stay until they
have applied it; then each writes its ids to FOLDER/NUMBER and all is told as one line of JSON. The line `go` sets them
off again.
"""

import json
import logging
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients", "python", "src"))
from latchkey_verifier.follower import Follower  # noqa: E402

PATIENCE = 60


class Restless(threading.Thread):
    def __init__(self, number, urls):
        super().__init__(daemon=True)
        self.number, self.urls = number, urls
        self.target, self.turn = None, threading.Condition()
        self.kept, self.connections, self.forgotten = None, 0, 0
        self.reached = None

    def run(self):
        while True:
            follower = Follower(random.choice(self.urls) + "/revocations", stale_after=6)
            if self.kept is not None:
                follower.revocations = self.kept
            self.connections += 1
            thread = threading.Thread(target=follower.run, daemon=True)
            thread.start()
            self.stay(follower)
            follower.end()
            thread.join(10)
            self.kept = follower.revocations
            if self.reached is None and random.random() < 0.5:
                self.kept, self.forgotten = None, self.forgotten + 1

    def stay(self, follower):
        """For a random while; where there is a target, until it was applied and the next `go`."""
        end = time.monotonic() + random.choice([0.05, 0.3, 1, 3]) * random.random()
        while time.monotonic() < end and not self.target:
            time.sleep(0.01)
        target = self.target
        if not target:
            return
        end = time.monotonic() + PATIENCE
        while not follower.revocations.has_applied(target) and time.monotonic() < end:
            time.sleep(0.005)
        self.kept = follower.revocations
        with self.turn:
            self.reached = time.time() if follower.revocations.has_applied(target) else 0
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.target != target)
            self.reached = None


def main():
    logging.disable()  # What it meets is what it is for.
    folder, count, urls = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    followers = [Restless(number, urls) for number in range(count)]
    for follower in followers:
        follower.start()
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        for follower in followers:
            with follower.turn:
                follower.target, follower.reached = rest if word == "target" else None, None
                follower.turn.notify_all()
        if word != "target":
            continue
        told = []
        for follower in followers:
            with follower.turn:
                follower.turn.wait_for(lambda: follower.reached is not None)
                with open(os.path.join(folder, str(follower.number)), "w") as file:
                    file.write("\n".join(follower.kept._ids))
                told.append({
                    "reached": follower.reached, "connections": follower.connections,
                    "forgotten": follower.forgotten, "count": len(follower.kept)})
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
