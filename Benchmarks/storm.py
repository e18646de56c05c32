"""What the others feel under load: while many log in, in a storm of ten times the hashing capacity, while many revoke."""

import os
import threading
import time

import load
from report import verdict
from service import PASSWORD, ask, resident

PAUSE_MS = 20
CLIENTS = 4


def paced(ground, seconds):
    """A steady trickle of each other request; started, not awaited."""
    service = ground.service
    common = {"seconds": seconds, "connections": CLIENTS}
    return {
        "refresh": load.Load(
            service.url + "/oauth2/token", script="refresh", arguments=[ground.sessions(CLIENTS), PAUSE_MS],
            threads=CLIENTS, **common),
        "introspect": load.Load(
            service.url + "/oauth2/introspect", script="post", arguments=[ground.introspect, PAUSE_MS], **common),
        "JWKS": load.Load(service.url + "/.well-known/jwks.json", arguments=["", PAUSE_MS], **common),
    }


def beside(ground, seconds):
    """Plain requests beside signatures and hashes that keep every core busy."""
    tokens = ground.sessions(8)
    signatures = load.Load(
        ground.service.url + "/oauth2/token", script="refresh", arguments=[tokens], seconds=seconds, connections=8,
        threads=8)
    hashes = load.Load(
        ground.service.url + "/auth/login", script="login", arguments=[2000, PASSWORD], seconds=seconds, connections=4)
    plain = {
        "JWKS": load.Load(
            ground.service.url + "/.well-known/jwks.json", arguments=["", PAUSE_MS], seconds=seconds,
            connections=CLIENTS),
        "introspect": load.Load(
            ground.service.url + "/oauth2/introspect", script="post", arguments=[ground.introspect, PAUSE_MS],
            seconds=seconds, connections=CLIENTS),
    }
    results = {name: running.result() for name, running in plain.items()}
    signatures.result()
    hashes.result()
    return results


class Refusals(threading.Thread):
    """Log ins ten a second, to see how long a refusal takes and whether it says when to come back."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.times, self.mute, self.ended = url, [], 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            began = time.monotonic()
            answer = ask("POST", self.url + "/auth/login", body={"username": "user0007", "password": PASSWORD})
            if answer.status == 503:
                self.times.append((time.monotonic() - began) * 1000)
                self.mute += "Retry-After" not in answer.headers


def seconds_until_idle(service):
    """Until the service spends less than a twentieth of a core."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        before = service.cpu()[0]
        time.sleep(0.5)
        if service.cpu()[0] - before < 0.025:
            return max(0.0, time.monotonic() - began - 0.5)
    return 30.0


def storm(ground, rounds, seconds):
    service = ground.service
    alone = rounds.median("log in", lambda result: result.rate)
    # What can be hashed beside the same other requests, while nobody storms: those and their load generator take from
    # the same cores.
    calm = paced(ground, 10)
    capacity = load.run(
        service.url + "/auth/login", script="login", arguments=[2000, PASSWORD], seconds=8, connections=8).rate
    calm = {name: running.result() for name, running in calm.items()}
    base = resident(service.pid)

    offered, callers = 10 * alone, 400
    others = paced(ground, seconds)
    flood = load.Load(
        service.url + "/auth/login", script="login", arguments=[2000, PASSWORD, round(1000 * callers / offered)],
        seconds=seconds, connections=callers)
    refusals = [Refusals(service.url) for _ in range(2)]
    for probe in refusals:
        probe.start()
    highest = base
    while flood.process.poll() is None:
        highest = max(highest, resident(service.pid))
        time.sleep(0.25)
    for probe in refusals:
        probe.ended.set()
    admitted = flood.result()
    stormy = {name: running.result() for name, running in others.items()}
    until_idle = seconds_until_idle(service)

    times = sorted(time for probe in refusals for time in probe.times) or [float("inf")]
    asked = (admitted.count + admitted.errors) / seconds
    rows = [
        verdict(
            f"storm of {asked:,.0f} log ins/s: admitted / capacity beside the same others", [admitted.rate / capacity],
            0.9, at_most=False),
        verdict("the same / what is hashed while nothing else is done", [admitted.rate / alone], 0.9, at_most=False),
        verdict(f"refused log ins, p99 of {len(times)}, ms", [times[int(len(times) * 0.99)]], 50, at_most=True),
        verdict("refusals without Retry-After", [sum(probe.mute for probe in refusals)], 0, at_most=True),
    ]
    for name, result in stormy.items():
        rows.append(verdict(
            f"{name} meanwhile, p99 ms (calm {calm[name].p99:.1f})", [result.p99], max(50, 3 * calm[name].p99),
            at_most=True))
        rows.append(verdict(f"{name} meanwhile, not answered as asked", [result.errors], 0, at_most=True))
    budget = 262_144 / 1024
    rows += [
        verdict("memory at the highest, MiB", [highest], (base + budget) * 1.2, at_most=True),
        verdict("idle again after, s", [until_idle], 5, at_most=True),
    ]
    return rows


def seen_elsewhere(ground, url, connections, count=200, seconds=30):
    """While revokes run as in the rounds: how long after its answer another node still takes a token of a session that was
    ended."""
    tokens = os.path.join(ground.folder, "to-revoke")
    load.sessions(ground.limits, ground.service, 5000 * seconds, tokens)
    sessions = [ground.service.log_in("user0001") for _ in range(count)]
    running = load.Load(
        ground.service.url + "/oauth2/revoke", script="revoke", arguments=[tokens, 2], seconds=seconds,
        connections=connections)
    delays = []
    # Logged in beforehand: a hash takes longer than what is measured.
    for opened in sessions:
        if running.process.poll() is not None:
            break
        revoked = ask("POST", ground.service.url + "/oauth2/revoke", form={"token": opened["refresh_token"]})
        answered = time.monotonic()
        assert revoked.status == 200
        while ask("GET", url + "/account", token=opened["access_token"]).status != 401:
            pass
        delays.append((time.monotonic() - answered) * 1000)
    running.result()
    delays.sort()
    worst = delays[min(len(delays) - 1, int(len(delays) * 0.99))]
    return [verdict(f"revoked → refused on another node, p99 of {len(delays)}, ms", [worst], 100, at_most=True)]
