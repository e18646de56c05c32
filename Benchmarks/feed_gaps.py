"""No gaps: writers over three nodes, transactions rolled back, followers that come and go, a killed node, an idle
transaction in another database, a crash of PostgreSQL, a restored backup. At the end of each part every follower's set
is the database's."""

import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.parse

import load
from cluster import Site, programs, psql
from report import table

FOLLOWERS = 9
WRITERS = 64

# Takes what a revocation takes, holds it for a while, and regrets.
REGRET = """
BEGIN;
WITH head AS (UPDATE feed_head SET seq = seq + 1, digest = sha256(digest) RETURNING seq)
INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
SELECT 15, seq, 1, gen_random_uuid(), now() + interval '15 minutes' FROM head;
SELECT 'slept' FROM pg_sleep({seconds});
ROLLBACK;
SELECT 'regretted';
"""


class Psql:
    """One session of psql."""

    def __init__(self, database):
        self.process = subprocess.Popen(
            [os.path.join(programs(), "psql"), "-XqAt", database], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)

    def ask(self, text):
        """Its next line."""
        self.process.stdin.write(text)
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.kill()
        self.process.wait()


class Storm:
    """Each token is revoked until that is acknowledged, by 64 threads."""

    def __init__(self, urls, tokens, database):
        self.urls, self.database = urls, database
        self.lock = threading.Lock()
        self.tokens, self.acknowledged, self.refused, self.regretted = list(tokens), 0, 0, 0
        self.last = None
        self.writers = [threading.Thread(target=self.write, args=(number,)) for number in range(WRITERS)]
        self.is_over = threading.Event()
        self.regrets = [threading.Thread(target=self.regret) for _ in range(4)]

    def start(self):
        self.began = time.monotonic()
        for thread in self.writers + self.regrets:
            thread.start()

    def wait(self):
        for thread in self.writers:
            thread.join()
        self.seconds = time.monotonic() - self.began
        self.is_over.set()
        for thread in self.regrets:
            thread.join()

    def write(self, number):
        connection = None
        while True:
            with self.lock:
                if not self.tokens:
                    return
                token = self.tokens.pop()
            if random.random() < 0.1:
                time.sleep(random.random() * 0.05)
            while True:
                try:
                    if connection is None:
                        host = urllib.parse.urlsplit(self.urls[number % len(self.urls)]).netloc
                        connection = http.client.HTTPConnection(host, timeout=10)
                    connection.request(
                        "POST", "/oauth2/revoke", f"token={token}",
                        {"Content-Type": "application/x-www-form-urlencoded"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 200:
                        with self.lock:
                            self.acknowledged += 1
                            self.last = answer.headers["Latchkey-Position"] or self.last
                        break
                except (OSError, http.client.HTTPException):
                    pass
                # Refused, or of an unknown fate: once more, at another node.
                self.refused += 1
                connection, number = None, number + 1
                time.sleep(0.05)

    def regret(self):
        session = Psql(self.database)
        while not self.is_over.is_set():
            try:
                answer = session.ask(REGRET.format(seconds=random.choice([0, 0.002, 0.01])))
                while answer not in ("regretted", ""):
                    answer = session.process.stdout.readline().strip()
            except BrokenPipeError:
                answer = ""
            if answer == "":  # PostgreSQL was stopped.
                session.end()
                time.sleep(0.2)
                session = Psql(self.database)
                continue
            self.regretted += 1
            time.sleep(random.random() * 0.5)
        session.end()


class Followers:
    def __init__(self, site):
        self.folder = os.path.join(site.folder, "followers")
        os.mkdir(self.folder)
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "restless.py"), self.folder,
             str(FOLLOWERS), *site.urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def settle(self, position):
        """When each had applied it, and its ids."""
        self.process.stdin.write(f"target {position}\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        for number, one in enumerate(told):
            with open(os.path.join(self.folder, str(number))) as file:
                one["ids"] = set(file.read().split())
        return told

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()


def position(url):
    with contextlib.closing(http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=10)) as connection:
        connection.request("GET", "/revocations?nonce=gaps", headers={"Accept": "application/json"})
        return json.loads(connection.getresponse().read())["position"]


def gaps(options, progress):
    count = options.writes
    rows = []

    def judge(title, storm, told, listed, since, besides=None):
        """A row; `besides` are ids that a follower may hold though this database does not."""
        besides = besides or set()
        missing = sum(len(listed - one["ids"]) for one in told)
        phantom = sum(len(one["ids"] - listed - besides) for one in told)
        late = sum(one["reached"] == 0 for one in told)
        slowest = max(one["reached"] for one in told) - since
        rows.append([
            title, f"{storm.acknowledged:,}" if storm else "", f"{storm.regretted:,}" if storm else "",
            f"{len(listed):,}", f"{sum(one['connections'] for one in told):,} ({sum(one['killed'] for one in told)})", missing, phantom,
            f"{slowest:.2f}" if not late else "**never**"])

    with Site(options.binary, 3) as site:
        environment = {"LATCHKEY_DATABASE_URL": site.cluster.database, "LATCHKEY_KEYS_DIR": site.environment["LATCHKEY_KEYS_DIR"]}

        def tokens(number):
            done = subprocess.run(
                [options.limits, "sessions", "--count", str(number)], env={**os.environ, **environment}, text=True,
                capture_output=True, timeout=300)
            if done.returncode != 0:
                raise SystemExit(done.stderr)
            return done.stdout.split()

        def storm_of(number):
            return Storm(site.urls, tokens(number), site.cluster.database)

        followers = Followers(site)
        try:
            progress(f"gaps: {count:,} revocations by {WRITERS} writers, an idle transaction elsewhere, a killed node")
            psql(site.cluster.database, "--command", "CREATE DATABASE other")
            idle = Psql(site.cluster.database.replace("dbname=latchkey", "dbname=other"))
            began = time.monotonic()
            idle.ask("BEGIN; CREATE TABLE t (n int); SELECT 1;\n")
            storm = storm_of(count)
            storm.start()
            while storm.acknowledged < count // 2:
                time.sleep(0.05)
            site.kill(2)
            time.sleep(1)
            site.start(2)
            storm.wait()
            ended = time.time()
            told = followers.settle(storm.last)
            held = time.monotonic() - began
            judge(f"writers, roll-backs, a node killed; idle transaction held {held:.0f} s", storm, told, site.listed(), ended)
            rate = storm.acknowledged / storm.seconds
            idle.end()
            followers.go()

            progress("gaps: PostgreSQL stopped at once (immediate) amid revocations, and started again")
            storm = storm_of(max(1000, count // 10))
            storm.start()
            while storm.acknowledged < max(1000, count // 10) // 3:
                time.sleep(0.01)
            site.cluster.stop("immediate")
            time.sleep(0.5)
            site.cluster.start()
            storm.wait()
            ended = time.time()
            told = followers.settle(storm.last)
            judge("PostgreSQL crashed amid them", storm, told, site.listed(), ended)

            progress("gaps: a backup restored into a new cluster")
            dump = site.cluster.dump()
            followers.go()
            lost = storm_of(1000)
            lost.start()
            lost.wait()
            followers.settle(lost.last)
            before = site.listed()
            old = position(site.urls[0])
            site.cluster.stop("fast")
            site.cluster.make()
            # At once, or a node might meet half of it.
            psql(site.cluster.database, "--single-transaction", "--file", dump)
            restored = time.time()
            for number in range(3):
                site.wait(number, 30)
            while True:
                try:
                    present = [position(url) for url in site.urls]
                except (OSError, KeyError):
                    present = [old]
                if all(one.split(".")[0] == present[0].split(".")[0] != old.split(".")[0] for one in present):
                    break
                time.sleep(0.02)
            told = followers.settle(present[0])
            judge("a backup restored into a new cluster (1,000 revocations lost)", lost, told, site.listed(), restored, before)
        finally:
            followers.end()
    print(table(
        ["what", "acknowledged", "rolled back", "in the database", "connections of 9 followers (ended by kill -9)", "missing", "phantom",
         "all complete after, s"], rows))
    print(f"\n{rate:,.0f} revocations a second by writers in Python, on the same cores.\n")
