"""The revocation feed held against its promises: `make bench-feed`.

Everything runs on this machine, on loopback. Parts: `latency` (how soon a revocation counts), `gaps` (every follower's set
is the database's, whatever happens), `size` (millions of live entries), `crowd` (thousands of idle followers).
`docs/revocation.md` and `docs/performance.md` say what the figures mean.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

import load
from cluster import psql
from feed_gaps import gaps
from followers import crowd
from report import VERDICT_COLUMNS, number, table, verdict
from service import Service, ask, resident

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BINARY = {"Accept": "application/vnd.latchkey.revocations"}
MIB = 1 << 20


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Told(list):
    """Rows that are told as they come: what follows may take long."""

    def append(self, row):
        super().append(row)
        progress("    " + (row if isinstance(row, str) else " | ".join(map(str, row))))


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


class Caller:
    """One kept connection to a node."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)

    def call(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def refresh(self, token):
        status, body = self.call("POST", "/oauth2/token", f"grant_type=refresh_token&refresh_token={token}", FORM)
        if status != 200:
            raise SystemExit(f"a refresh was answered {status}: {body!r}")
        return json.loads(body)

    def revoke(self, token):
        """The instant at which it was acknowledged."""
        status, body = self.call("POST", "/oauth2/revoke", f"token={token}", FORM)
        acknowledged = time.monotonic()
        if status != 200:
            raise SystemExit(f"a revocation was answered {status}: {body!r}")
        return acknowledged

    def accepts(self, token):
        status, body = self.call("GET", "/account", None, {"Authorization": "Bearer " + token})
        if status not in (200, 401):
            raise SystemExit(f"a token was answered {status}: {body!r}")
        return status == 200


def opened(options, service, count):
    """Refresh tokens of so many sessions."""
    return load.output(
        options.limits, "sessions", "--count", count, "--audience", service.url, database=service).split()


def signed(options, service, count=4_000):
    """A file with the access tokens of so many sessions: more than a verifier remembers."""
    caller = Caller(service.url)
    path = os.path.join(service.folder, "access-tokens")
    with open(path, "w") as file:
        for token in opened(options, service, count):
            # An ordinary one: not with all the scopes of the administrator, whose sessions these are.
            file.write(caller.refresh(token + "&scope=account")["access_token"] + "\n")
    return path


def feed(options, service, urls, count, followers):
    """The arguments of `limits feed`: followers of the stream while 500 revocations a second run."""
    path = os.path.join(service.folder, "to-revoke")
    with open(path, "w") as file:
        file.write("\n".join(opened(options, service, count)))
    follow = [word for url in urls for word in ("--follow", url)]
    return [options.limits, "feed", "--node", service.url, *follow, "--tokens", path, "--rate", "500",
            "--followers", str(followers)]


def followed(options, service, urls, count, followers=50):
    told = json.loads(load.output(*feed(options, service, urls, count, followers)))
    if told["missed"] or told["unanswered"]:
        raise SystemExit(f"something was missed: {told}")
    return told


def latency(options):
    rows = Told()
    with Service(options.binary) as service:
        other, _ = service.attach()
        progress(f"latency: {options.revokes:,} revocations, each asked about at once on its own node")
        here, there = Caller(service.url), Caller(other)
        accepted = good = 0
        for index, token in enumerate(opened(options, service, options.revokes)):
            tokens = here.refresh(token)
            good += here.accepts(tokens["access_token"])
            # By `jti` and by `sid` in turns.
            here.revoke(tokens["refresh_token" if index % 2 else "access_token"])
            accepted += here.accepts(tokens["access_token"])
        if good != options.revokes:
            raise SystemExit(f"of {options.revokes} good tokens {good} were accepted before they were revoked")
        rows.append(verdict(f"accepted on this node after {good:,} acknowledged revocations", [accepted], 0, at_most=True))

        progress("latency: asked about on another node until it refuses")
        delays, at_once = [], 0
        for index, token in enumerate(opened(options, service, options.revokes // 5)):
            tokens = here.refresh(token)
            if not there.accepts(tokens["access_token"]):
                raise SystemExit("the other node refused a good token")
            acknowledged = here.revoke(tokens["refresh_token" if index % 2 else "access_token"])
            tries = 0
            while there.accepts(tokens["access_token"]):
                tries += 1
            delays.append((time.monotonic() - acknowledged) * 1000)
            at_once += tries == 0
        rows.append(verdict(
            f"revoked → refused on another node, p99 of {len(delays):,}, ms (p50 {number(percentile(delays, 50))}, "
            f"most {number(max(delays))})", [percentile(delays, 99)], 100, at_most=True))

        progress("latency: 50 followers on two nodes while 500 revocations a second run")
        told = followed(options, service, [service.url, other], 500 * options.seconds)
        what = f"revoked → heard by 50 followers at {told['rate']:.0f} revocations/s"
        rows.append(verdict(f"{what}, p50, ms", [told["p50"]], 50, at_most=True))
        rows.append(verdict(f"{what}, p99, ms (most {number(told['most'])})", [told["p99"]], 1000, at_most=True))
        note = (f"{told['count']:,} revocations meanwhile were answered in {told['revoke_p50']:.1f} ms (p50), "
                f"{told['revoke_p99']:.1f} ms (p99).")
    print(table(VERDICT_COLUMNS, rows))
    print(f"\n{note}\n")


FILL = """
BEGIN;
WITH head AS (
    UPDATE feed_head SET seq = seq + {count}, digest = sha256(digest || 'filled') RETURNING seq, digest
) INSERT INTO feed_batches (seq, digest) SELECT seq, digest FROM head;
CREATE TEMPORARY TABLE head ON COMMIT DROP AS SELECT seq - {count} AS seq FROM feed_head;
INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
SELECT (floor(extract(epoch FROM e.at) / ceil(i.seconds / 8.0))::bigint % 16)::smallint, head.seq + e.number,
       1 + e.number % 2, gen_random_uuid(), e.at
FROM head, (SELECT longest_access_token + 300 AS seconds FROM installation) i,
     -- What would have come in over the time that an entry lives.
     LATERAL (SELECT number, clock_timestamp() + (i.seconds * (0.3 + 0.7 * ({done} + number) / {all})) * interval '1 second'
              AS at FROM generate_series(1, {count}) number) e;
COMMIT;
"""

SPENT = """
INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
SELECT (floor(extract(epoch FROM now()) / ceil((longest_access_token + 300) / 8.0))::bigint + {ahead}) % 16, -number, 1,
       gen_random_uuid(), now() - interval '1 hour'
FROM installation, generate_series(1, {count}) number;
"""

def gauge(url, name):
    parts = urllib.parse.urlsplit(url)
    text = ask("GET", f"http://{parts.hostname}:{min(parts.port + 1000, 65535)}/metrics").body.decode()
    return float(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])


def fetch(url, headers):
    """A whole list: seconds to its first octet and to its last, octets."""
    caller = Caller(url)
    began = time.monotonic()
    caller.connection.request("GET", f"/revocations?nonce={time.monotonic_ns()}", headers=headers)
    answer = caller.connection.getresponse()
    first, size = time.monotonic() - began, 0
    while piece := answer.read(MIB):
        size += len(piece)
    if answer.status != 200:
        raise SystemExit(f"the list was answered {answer.status}")
    return first, time.monotonic() - began, size


def size(options):
    count, rows, notes = options.entries, Told(), Told()
    with Service(options.binary, ACCESS_TOKEN_TTL=86_400) as service:
        database = service.state()["database"]
        empty_url, empty_start = service.attach()
        time.sleep(2)
        empty = resident(service.nodes[-1].pid)
        service.end(service.nodes[-1])
        running = resident(service.pid)

        progress(f"size: {count:,} entries into the database, a million at a time")
        began = time.monotonic()
        for done in range(0, count, 1_000_000):
            step = min(1_000_000, count - done)
            psql(database, input=FILL.format(count=step, done=done, all=count))
        filled = time.monotonic()
        held = "latchkey_revocations_held"
        while gauge(service.url, held) < count:
            if time.monotonic() - filled > 300:
                raise SystemExit(f"the node holds {gauge(service.url, held):,.0f} of {count:,}")
            time.sleep(0.1)
        notes.append(
            f"{count / (filled - began):,.0f} entries a second written; the running node held all of them "
            f"{time.monotonic() - filled:.1f} s after the last, {resident(service.pid) - running:,.0f} MiB more than before.")

        progress("size: a node's cold start")
        url, start = service.attach()
        node = service.nodes[-1]
        if gauge(url, held) < count:
            raise SystemExit("the node is ready without the list")
        time.sleep(2)
        per_entry = (resident(node.pid) - empty) * MIB / count
        rows.append(verdict("memory of a node for each entry, bytes", [per_entry], 32, at_most=True))
        notes.append(f"A node starts in {start:.1f} s (with an empty list {empty_start:.2f} s).")

        progress("size: whole lists")
        lists = [("binary, the first", BINARY), ("binary, another", BINARY), ("JSON", {"Accept": "application/json"})]
        shown = Told()
        for title, headers in lists:
            first, whole, octets = fetch(url, headers)
            shown.append([title, f"{first:.2f}", f"{whole:.2f}", f"{octets / MIB:,.0f}", f"{resident(node.pid):,.0f}"])
        alone = load.run(url + "/.well-known/jwks.json", seconds=5, connections=4)
        ends = threading.Event()

        def fetch_on():
            while not ends.is_set():
                fetch(url, BINARY)

        reader = threading.Thread(target=fetch_on)
        reader.start()
        beside = load.run(url + "/.well-known/jwks.json", seconds=5, connections=4)
        ends.set()
        reader.join()
        notes.append(f"The JWKS' p99 alone {alone.p99:.1f} ms, while whole lists are fetched one after the other "
                     f"{beside.p99:.1f} ms.")

        progress("size: a verifier's cold start, and what a verdict costs")
        cold = json.loads(load.output(options.limits, "cold-verifier", "--issuer", service.url))
        if cold["count"] < count:
            raise SystemExit(f"the verifier holds {cold['count']:,}")
        notes.append(f"A verifier (the Swift library) is ready after {cold['seconds']:.1f} s, {cold['cpu']:.1f} s of CPU.")
        rows.append(verdict(f"memory of a follower for each entry, bytes (of the set alone {cold['held'] / cold['count']:.1f})",
                            [cold["resident"] / cold["count"]], 32, at_most=True))
        with Service(options.binary) as bare:
            # By turns with a verifier that follows an empty list: the machine is not the same from minute to minute.
            words = [word for one in (service, bare) for word in ("--issuer", one.url, "--tokens", signed(options, one))]
            cost = json.loads(load.output(options.limits, "verify", *words))
        (full, none), (held, _) = cost["per_second"], cost["entries"]
        if held < count:
            raise SystemExit(f"the verifier holds {held:,}")
        rows.append(verdict(
            f"a verdict with {count:,} revocations / with none", [b / a for a, b in zip(*cost["turns"])], 1.1,
            at_most=True))
        _, per_1000 = load.openssl(2, 1)
        rows.append(verdict(
            f"verdicts on one core / `openssl speed` verify of RSA-2048 ({none:,.0f}/s of {1000 / per_1000:,.0f}/s; with "
            f"{count:,} revocations {full:,.0f}/s)", [none * per_1000 / 1000], 0.7, at_most=False))

        progress("size: 50 followers at 500 revocations a second, with the list as long as it is")
        told = followed(options, service, [service.url, url], 500 * options.seconds)
        rows.append(verdict(f"revoked → heard by 50 followers, p99, ms (p50 {number(told['p50'])})",
                            [told["p99"]], 1000, at_most=True))

        progress("size: refreshes while spent slots are emptied")
        rows += purge(options, service, database, count // 8)
    print(table(VERDICT_COLUMNS, rows), "\n")
    print(table(["a whole list", "first octet after, s", "all of it, s", "MiB", "memory of the node then, MiB"], shown), "\n")
    print("\n".join(f"- {note}" for note in notes), "\n")


def refreshing(options, service):
    """Sixteen sessions that refresh for 12 s: of their own, for a run leaves no token that another could begin with."""
    sessions = os.path.join(service.folder, "sessions")
    with open(sessions, "w") as file:
        file.write("\n".join(opened(options, service, 16)) + "\n")
    return load.Load(service.url + "/oauth2/token", script="refresh", arguments=[sessions], threads=16, connections=16,
                     seconds=12)


def purge(options, service, database, count):
    calm = refreshing(options, service).result()
    running = refreshing(options, service)
    whole, waits = [], []
    for ahead in (11, 12, 13):
        told = {"count": 0}
        while told["count"] == 0:  # The service's own housekeeping may come first.
            psql(database, input=SPENT.format(count=count, ahead=ahead))
            told = json.loads(load.output(options.limits, "empty-slots", database=service))
        whole.append(told["seconds"] * 1000)
        waits.append(told["longest_wait"] * 1000)
    busy = running.result()
    # The same writes without the purge: what the inserts alone do to it.
    running = refreshing(options, service)
    for ahead in (11, 12, 13):
        psql(database, input=SPENT.format(count=count, ahead=ahead))
    filling = running.result()
    return [
        verdict(f"emptying a slot of {count:,} expired entries, ms", whole, 100, at_most=True),
        verdict("the longest that a reader of the list waited meanwhile, ms", waits, 100, at_most=True),
        verdict(f"refresh, p99 while slots are filled and emptied / filled alone ({busy.p99:.1f} / {filling.p99:.1f} ms; "
                f"calm {calm.p99:.1f})", [busy.p99 / filling.p99], 1.2, at_most=True),
    ]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--binary", default=".build/release/latchkey")
    options.add_argument("--limits", required=True)
    options.add_argument("--parts", default="latency,gaps,size,crowd")
    options.add_argument("--revokes", type=int, default=5_000, help="of the part `latency`")
    options.add_argument("--seconds", type=int, default=20, help="of revocations at 500 a second")
    options.add_argument("--writes", type=int, default=100_000, help="of the part `gaps`")
    options.add_argument("--entries", type=int, default=10_000_000, help="of the part `size`")
    options.add_argument("--followers", type=int, default=2_000, help="of the part `crowd`")
    options = options.parse_args()
    parts = {
        "latency": lambda: latency(options), "gaps": lambda: gaps(options, progress), "size": lambda: size(options),
        "crowd": lambda: crowd(options, progress, lambda service: lambda seconds: subprocess.Popen(
            feed(options, service, [service.url], 500 * seconds, 1), stdout=subprocess.DEVNULL)),
    }
    for name in options.parts.split(","):
        print(f"\n### {name}\n", flush=True)
        parts[name]()


if __name__ == "__main__":
    main()
