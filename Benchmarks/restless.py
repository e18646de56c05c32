"""Followers that come and go, in a process of their own: `feed_gaps.py` starts it.

    python3 restless.py FOLDER FOLLOWERS URL...

Each follows a node for a while, hangs up, and comes back to another: half of the times with what it knows and its position,
half of the times with nothing. Every third is a process (`restless.py --killed STATE URL`) that writes down what it knows
and is killed with -9 at a random moment, with a message half applied or the file half written; the next one begins with that
file or, half of the times, without. The line `target POSITION` on standard input makes them stay until they have applied it;
then each writes its ids to FOLDER/NUMBER and all is told as one line of JSON. The line `go` sets them off again.
"""

import json
import logging
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients", "python", "src"))
from latchkey_verifier.follower import Follower  # noqa: E402

PATIENCE = 60


class Restless(threading.Thread):
    def __init__(self, number, folder, urls):
        super().__init__(daemon=True)
        self.path, self.urls = os.path.join(folder, str(number)), urls
        self.target, self.turn = None, threading.Condition()
        self.connections = self.forgotten = self.killed = 0
        self.kept, self.reached, self.count = None, None, 0

    def run(self):
        while True:
            follower = Follower(random.choice(self.urls) + "/revocations", stale_after=6)
            if self.kept is not None:
                follower.revocations = self.kept
            self.connections += 1
            thread = threading.Thread(target=follower.run, daemon=True)
            thread.start()
            stay(random.choice([0.05, 0.3, 1, 3]), lambda: self.target)
            if target := self.target:
                self.tell(target, settled(follower, target, self.path))
            follower.end()
            thread.join(10)
            self.kept = follower.revocations
            if not self.target and random.random() < 0.5:
                self.kept, self.forgotten = None, self.forgotten + 1

    def tell(self, target, reached):
        """Until the next `go`."""
        with self.turn:
            self.reached, self.count = reached
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.target != target)
            self.reached = None


class Killed(Restless):
    def run(self):
        state = self.path + ".state"
        while True:
            child = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--killed", state, random.choice(self.urls)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.connections += 1
            # It takes a fifth of a second to begin.
            stay(random.choice([0.4, 0.8, 2, 4]), lambda: self.target)
            if target := self.target:
                child.stdin.write(f"{target} {self.path}\n")
                child.stdin.flush()
                self.tell(target, json.loads(child.stdout.readline()))
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
            self.killed += 1
            if random.random() < 0.5 and os.path.exists(state):
                os.remove(state)
                self.forgotten += 1


def stay(longest, is_over):
    end = time.monotonic() + longest * random.random()
    while time.monotonic() < end and not is_over():
        time.sleep(0.01)


def settled(follower, target, path):
    """Waits until `target` is applied and writes the ids; when that was (0: never), and how many there are."""
    end = time.monotonic() + PATIENCE
    while not follower.revocations.has_applied(target) and time.monotonic() < end:
        time.sleep(0.005)
    reached = time.time() if follower.revocations.has_applied(target) else 0
    with open(path, "w") as file:
        file.write("\n".join(list(follower.revocations._ids)))
    return reached, len(follower.revocations)


def save(revocations, path):
    """The position first: ids that come in meanwhile are more than it says, never fewer."""
    kept = [revocations.position, revocations.applied, revocations._latest]
    kept += [dict(revocations._ids), sorted(revocations._key_ids)]
    with open(path + ".new", "w") as file:
        json.dump(kept, file)
    os.replace(path + ".new", path)


def restore(revocations, path):
    with open(path) as file:
        position, applied, latest, ids, key_ids = json.load(file)
    revocations.position, revocations.applied, revocations._latest = position, applied and tuple(applied), latest
    revocations._ids, revocations._key_ids = ids, frozenset(key_ids)


def killed(state, url):
    """Follows and writes down what it knows, until it is killed; a line `POSITION PATH` makes it settle."""
    follower = Follower(url + "/revocations", stale_after=6)
    if os.path.exists(state):
        restore(follower.revocations, state)
    threading.Thread(target=follower.run, daemon=True).start()

    def save_on():
        while True:
            time.sleep(0.25)
            save(follower.revocations, state)

    threading.Thread(target=save_on, daemon=True).start()
    for line in sys.stdin:
        target, path = line.split()
        print(json.dumps(settled(follower, target, path)), flush=True)


def main():
    logging.disable()  # What it meets is what it is for.
    if sys.argv[1] == "--killed":
        return killed(*sys.argv[2:])
    folder, count, urls = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    followers = [(Killed if number % 3 == 0 else Restless)(number, folder, urls) for number in range(count)]
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
                told.append({
                    "reached": follower.reached, "connections": follower.connections,
                    "forgotten": follower.forgotten, "killed": follower.killed, "count": follower.count})
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
