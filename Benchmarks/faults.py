"""What callers are told while PostgreSQL is frozen, held to two seconds: `make bench-faults`.

A release node on a PostgreSQL of its own, all of whose processes are stopped (SIGSTOP) under requests of several kinds:
connections stay open, and nothing answers. Most arrive while the node still has proof that its list is fresh: those wait for
the database, and must be answered 503 with Retry-After within two seconds of being sent.
"""

import argparse
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.parse

from report import VERDICT_COLUMNS, number, table, verdict
from service import PASSWORD, Service, ask, children

LIMIT = 2.0
PEOPLE = 24


def progress(text):
    print(f"bench-faults: {text}", file=sys.stderr, flush=True)


class Ground:
    """Accounts and tokens, each for one kind of request."""

    def __init__(self, service, round_):
        self.service = service
        self.admin = service.log_in()["access_token"]
        self.names = [f"p{round_}-{index}" for index in range(PEOPLE)]
        for name in self.names:
            made = ask("POST", service.url + "/auth/register", body={"username": name, "password": PASSWORD})
            if made.status != 201:
                raise SystemExit(f"register answered {made.status}: {made.body!r}")
        self.sessions = [service.log_in(name) for name in self.names]

    def request(self, kind, index):
        """Method, path, body and header fields."""
        session, name = self.sessions[index % PEOPLE], self.names[index % PEOPLE]

        def form(path, **fields):
            return "POST", path, urllib.parse.urlencode(fields), {"Content-Type": "application/x-www-form-urlencoded"}

        def call(method, path, token, body=None):
            fields = {"Authorization": f"Bearer {token}"} if token else {}
            if body is not None:
                fields["Content-Type"] = "application/json"
            return method, path, json.dumps(body) if body is not None else None, fields

        own, admin = session["access_token"], self.admin
        match kind:
            case "refresh":
                return form("/oauth2/token", grant_type="refresh_token", refresh_token=session["refresh_token"])
            case "revoke a refresh token":
                return form("/oauth2/revoke", token=session["refresh_token"])
            case "revoke an access token":
                return form("/oauth2/revoke", token=own)
            case "log in":
                return call("POST", "/auth/login", None, {"username": name, "password": PASSWORD})
            case "register":
                return call("POST", "/auth/register", None, {"username": f"n-{name}-{index}", "password": PASSWORD})
            case "own account":
                return call("GET", "/account", own)
            case "own sessions":
                return call("GET", "/account/sessions", own)
            case "change the password":
                return call("POST", "/account/password", own, {"current": PASSWORD, "new": PASSWORD})
            case "log out":
                return call("POST", "/auth/logout", own)
            case "disable a user":
                return call("POST", f"/admin/users/{name}/disable", admin)
            case "revoke a user's sessions":
                return call("POST", "/admin/revocations", admin, {"user": name, "reason": "a benchmark"})
            case "create a client":
                return call("POST", "/admin/clients", admin, {"client_name": f"c{index}"})
            case "rotate the key":
                return call("POST", "/admin/keys/rotate", admin)
            case "audit log":
                return call("GET", "/admin/audit", admin)


KINDS = [
    "refresh", "revoke a refresh token", "revoke an access token", "log in", "register", "own account", "own sessions",
    "change the password", "log out", "disable a user", "revoke a user's sessions", "create a client",
    "rotate the key", "audit log",
]


class Caller(threading.Thread):
    """One request, on a connection that is open beforehand, sent at `instant`."""

    def __init__(self, ground, kind, index):
        super().__init__(daemon=True)
        self.kind, self.asked = kind, ground.request(kind, index)
        self.connection = http.client.HTTPConnection("127.0.0.1", ground.service.port, timeout=30)
        self.connection.connect()
        self.instant, self.go = 0.0, threading.Event()
        self.status, self.says_when, self.seconds = 0, False, 0.0

    def run(self):
        self.go.wait()
        time.sleep(max(0.0, self.instant - time.monotonic()))
        method, path, body, fields = self.asked
        began = time.monotonic()
        try:
            self.connection.request(method, path, body, fields)
            answer = self.connection.getresponse()
            answer.read()
            self.status, self.says_when = answer.status, answer.getheader("retry-after") is not None
        except OSError as error:
            progress(f"{self.kind}: {error!r}")
        self.seconds = time.monotonic() - began
        self.connection.close()


def signal_cluster(service, what):
    """The postmaster first, so that it makes no further child meanwhile."""
    postmaster = service.postmaster()
    os.kill(postmaster, what)
    for child in children(postmaster):
        try:
            os.kill(child, what)
        except ProcessLookupError:
            pass


def one_round(ground, count):
    callers = [Caller(ground, KINDS[index % len(KINDS)], index) for index in range(count)]
    random.shuffle(callers)
    for caller in callers:
        caller.start()
    signal_cluster(ground.service, signal.SIGSTOP)
    try:
        start = time.monotonic()
        for index, caller in enumerate(callers):
            # All within the time in which the node is sure to be fresh.
            caller.instant = start + 1.2 * index / count
            caller.go.set()
        for caller in callers:
            caller.join()
    finally:
        signal_cluster(ground.service, signal.SIGCONT)
    thawed = time.monotonic()
    while ask("GET", ground.service.url + "/readyz").status != 200:
        time.sleep(0.01)
    return callers, time.monotonic() - thawed


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--binary", default=".build/release/latchkey")
    options.add_argument("--requests", type=int, default=210, help="of each round")
    options.add_argument("--rounds", type=int, default=3)
    options = options.parse_args()

    answers, heals = [], []
    with Service(options.binary) as service:
        for index in range(options.rounds):
            progress(f"round {index + 1} of {options.rounds} (about 5 s)")
            # Anew for each round: what was under way when PostgreSQL froze is carried out when it goes on.
            callers, healed = one_round(Ground(service, index), options.requests)
            answers += callers
            heals.append(healed)

    def milliseconds(values):
        values = sorted(values)
        return [number(1000 * values[len(values) // 2]), number(1000 * values[-1])]

    rows = []
    for kind in KINDS:
        of = [caller for caller in answers if caller.kind == kind]
        told = [caller.seconds for caller in of if caller.status == 503]
        rows.append([kind, str(len(of)), str(len(told)), *(milliseconds(told) if told else ["", ""])])
    told = [caller for caller in answers if caller.status == 503]
    print(table(["request", "sent", "503", "p50 ms", "most ms"], rows), "\n")
    seconds = sorted(caller.seconds for caller in told)
    print(table(VERDICT_COLUMNS, [
        verdict(f"503 while PostgreSQL is frozen, p50 of {len(told)}, s", [seconds[len(seconds) // 2]], LIMIT,
                at_most=True),
        verdict("the slowest of them, s", [seconds[-1]], LIMIT, at_most=True),
        verdict("the slowest answer of all, s", [max(caller.seconds for caller in answers)], LIMIT, at_most=True),
        verdict("answers that are no 503", [sum(caller.status != 503 for caller in answers)], 0, at_most=True),
        verdict("503 without Retry-After", [sum(not caller.says_when for caller in told)], 0, at_most=True),
        verdict("ready again after its end, s", heals, 5, at_most=True),
    ]))


if __name__ == "__main__":
    main()
