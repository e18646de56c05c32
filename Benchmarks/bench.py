"""Latchkey beside its limits, in one run: `make bench`.

Everything runs on this machine, on loopback: PostgreSQL, the service, the load. Each round measures the limits and the
service in turn; a ratio is of the same round. See `docs/performance.md` for what the figures mean.
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import time

import load
from report import REQUEST_COLUMNS, VERDICT_COLUMNS, Rounds, number, spread, table, verdict
from service import PASSWORD, Service, ask, cpu_of, free_port, resident
from starts import Starts
from storm import beside, seen_elsewhere, storm

CORES = os.cpu_count() or 1
CONNECTIONS = 32
ACCOUNTS = 2_000


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Ground:
    """The service with its accounts, tokens and a client, and the HTTP server's hello-world beside it."""

    def __init__(self, service, limits):
        self.service, self.limits = service, limits
        self.folder = service.folder
        self.make_accounts()
        self.access = service.log_in()["access_token"]
        self.bearer = self.file("bearer", self.access)
        # Of a session whose token is asked about, not used.
        self.introspect = self.file(
            "introspect", "application/x-www-form-urlencoded", "token=" + self.access, "Bearer " + self.access)
        self.credentials = self.file("credentials", *self.client_credentials())
        self.sizes = {
            "jwks": len(ask("GET", service.url + "/.well-known/jwks.json").body),
            "discovery": len(ask("GET", service.url + "/.well-known/openid-configuration").body),
            "account": len(ask("GET", service.url + "/account", token=self.access).body),
            "introspect": len(
                ask("POST", service.url + "/oauth2/introspect", form={"token": self.access}, token=self.access).body),
            "refresh": len(self.refresh_once()),
        }
        self.hello_port = free_port()
        self.hello = subprocess.Popen(
            [limits, "hello", "--port", str(self.hello_port), *map(str, sorted(set(self.sizes.values())))])
        self.hello_url = f"http://127.0.0.1:{self.hello_port}"
        for _ in range(500):
            try:
                ask("GET", f"{self.hello_url}/{self.sizes['jwks']}")
                break
            except OSError:
                time.sleep(0.01)

    def file(self, name, *lines):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def make_accounts(self):
        hashed = load.output(self.limits, "hash", input=PASSWORD)
        lines = [json.dumps({"username": f"user{number:04d}", "phc": hashed}) for number in range(ACCOUNTS)]
        self.service.command("users", "import", self.file("accounts", *lines))

    def client_credentials(self):
        created = self.service.admin(
            "POST", "/admin/clients",
            {"client_name": "bench", "grant_types": ["client_credentials"], "scope": "users:read",
             "token_endpoint_auth_method": "client_secret_basic"})
        pair = f"{created['client_id']}:{created['client_secret']}".encode()
        return ("application/x-www-form-urlencoded", "grant_type=client_credentials",
                "Basic " + base64.b64encode(pair).decode())

    def refresh_once(self):
        token = self.service.log_in("user0000")["refresh_token"]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return ask("POST", self.service.url + "/oauth2/token", form=form).body

    def sessions(self, count):
        """Refresh tokens of sessions just opened, a line each."""
        tokens = [self.service.log_in(f"user{number:04d}")["refresh_token"] for number in range(count)]
        return self.file("sessions", *tokens)

    def hello_cpu(self):
        return cpu_of(self.hello.pid), 0.0

    def stop(self):
        self.hello.send_signal(signal.SIGTERM)
        self.hello.wait(15)


def one_round(ground, rounds, seconds):
    service, limits = ground.service, ground.limits
    usual = {"seconds": seconds, "connections": CONNECTIONS}
    ours = {**usual, "cpu": service.cpu}
    hello = {**usual, "cpu": ground.hello_cpu}

    def limit(name, *arguments, **options):
        rounds.add(name, load.limit(limits, *arguments, **options))

    sign, verify = load.openssl(max(1, seconds // 2), CORES)
    rounds.add("sign", sign)
    rounds.add("verify", verify)
    limit("our signature", "sign", "--seconds", max(1, seconds // 2), "--threads", CORES)
    for name in ["jwks", "discovery", "account", "introspect"]:
        rounds.add("hello " + name, load.run(f"{ground.hello_url}/{ground.sizes[name]}", **hello))
    form = ground.file(
        "form", "application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=" + "x" * 61)
    rounds.add(
        "hello form", load.run(f"{ground.hello_url}/{ground.sizes['refresh']}", script="post", arguments=[form], **hello))

    rounds.add("jwks", load.run(service.url + "/.well-known/jwks.json", **ours))
    rounds.add("discovery", load.run(service.url + "/.well-known/openid-configuration", **ours))
    rounds.add("account", load.run(service.url + "/account", arguments=[ground.bearer], **ours))
    rounds.add(
        "introspect",
        load.run(service.url + "/oauth2/introspect", script="post", arguments=[ground.introspect], **ours))
    rounds.add(
        "client credentials",
        load.run(service.url + "/oauth2/token", script="post", arguments=[ground.credentials], **ours))

    limit("bare refresh", "refresh", "--seconds", seconds, "--tasks", CONNECTIONS, database=service)
    limit("single refresh", "refresh", "--seconds", seconds, "--tasks", CONNECTIONS, "--single", database=service)
    tokens = ground.sessions(CONNECTIONS)
    rounds.add(
        "refresh",
        load.run(service.url + "/oauth2/token", script="refresh", arguments=[tokens], threads=CONNECTIONS, **ours))

    limit("argon2", "argon2", "--seconds", seconds, "--threads", CORES)
    rounds.add(
        "log in", load.run(
            service.url + "/auth/login", script="login", arguments=[ACCOUNTS, PASSWORD], seconds=seconds,
            connections=4 * CORES, cpu=service.cpu))

    limit("bare revoke", "revoke", "--count", 4000 * seconds // 4, "--tasks", CONNECTIONS, database=service)
    rounds.add("revoke", revoke(ground, seconds))


def revoke(ground, seconds):
    """Sessions made bare, ended through the service."""
    tokens = os.path.join(ground.folder, "to-revoke")
    load.sessions(ground.limits, ground.service, 8000 * seconds, tokens)
    return load.run(
        ground.service.url + "/oauth2/revoke", script="revoke", arguments=[tokens, 2], seconds=seconds,
        connections=CONNECTIONS, cpu=ground.service.cpu)


def ratios(rounds):
    """The figures to reach, each a ratio of the same round."""
    def cpu(of, name):
        return of(name).per_1000

    def limit_of_refresh(of):
        return of("sign") + cpu(of, "hello form") + cpu(of, "bare refresh")

    def postgres(of, name):
        return of(name).postgres / of(name).count

    ifma = "avx512ifma" in open("/proc/cpuinfo").read()
    return [
        verdict("our RSA-2048 signatures / those of openssl speed, per core",
                rounds.ratio(lambda of: of("sign") / cpu(of, "our signature")), 0.95, at_most=False),
        verdict("log ins / raw libargon2 on the same threads",
                rounds.ratio(lambda of: of("log in").rate / of("argon2").rate), 0.9, at_most=False),
        verdict("refresh, CPU / (signature + hello to a form + grouped statement)",
                rounds.ratio(lambda of: cpu(of, "refresh") / limit_of_refresh(of)), 1.5 if ifma else 1.3, at_most=True),
        verdict("refresh, PostgreSQL's CPU / one statement per request",
                rounds.ratio(lambda of: postgres(of, "refresh") / postgres(of, "single refresh")), 0.55, at_most=True),
        verdict("own account, CPU / (hello + verification)",
                rounds.ratio(lambda of: cpu(of, "account") / (cpu(of, "hello account") + of("verify"))), 1.4,
                at_most=True),
        verdict("introspect, CPU / (hello + verification)",
                rounds.ratio(lambda of: cpu(of, "introspect") / (cpu(of, "hello introspect") + of("verify"))), 1.4,
                at_most=True),
        verdict("JWKS, CPU / hello", rounds.ratio(lambda of: cpu(of, "jwks") / cpu(of, "hello jwks")), 1.15,
                at_most=True),
        verdict("discovery, CPU / hello",
                rounds.ratio(lambda of: cpu(of, "discovery") / cpu(of, "hello discovery")), 1.15, at_most=True),
        verdict("client credentials, CPU beyond the signature / hello",
                rounds.ratio(lambda of: (cpu(of, "client credentials") - of("sign")) / cpu(of, "hello form")), 2.5,
                at_most=True),
        verdict("revokes / their statement bare in groups",
                rounds.ratio(lambda of: of("revoke").rate / of("bare revoke").rate), 0.6, at_most=False),
    ]


REQUESTS = [
    ("log in", "log in"), ("refresh", "refresh"), ("introspect", "introspect"), ("own account", "account"),
    ("client credentials", "client credentials"), ("JWKS", "jwks"), ("discovery", "discovery"), ("revoke", "revoke"),
    ("*limit:* hello of the JWKS' size", "hello jwks"), ("*limit:* hello to a form", "hello form"),
]


def limits_of(rounds):
    def per_second(cpu):
        return CORES / cpu * 1000

    rows = [
        ["RSA-2048 signature, openssl speed", spread(rounds.values("sign", per_second)),
         number(rounds.median("sign", lambda cpu: cpu)), ""],
        ["RSA-2048 verification, openssl speed", spread(rounds.values("verify", per_second)),
         number(rounds.median("verify", lambda cpu: cpu)), ""],
    ]
    for title, name in [
        ("RSA-2048 signature, ours, of a token's 600 bytes", "our signature"),
        (f"argon2id on {CORES} threads", "argon2"), ("the refresh's statement in groups", "bare refresh"),
        ("the refresh's statement, one a request", "single refresh"),
        ("the revoke's statement in groups", "bare revoke"),
    ]:
        rows.append([
            title, spread(rounds.values(name, lambda r: r.rate)),
            number(rounds.median(name, lambda r: r.service / r.count * 1000)),
            number(rounds.median(name, lambda r: r.postgres / r.count * 1000))])
    return table(["limit", "per second", "CPU s per 1,000", "PostgreSQL"], rows)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--binary", default=".build/release/latchkey")
    options.add_argument("--limits", required=True)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4, help="of each measurement")
    options.add_argument("--storm", type=int, default=60, help="seconds of the storm of log ins; 0: none")
    options = options.parse_args()

    rounds, starts = Rounds(), Starts()
    for index in range(options.rounds - 1):
        progress(f"start {index + 1} of {options.rounds} from nothing")
        with Service(options.binary) as service:
            starts.measure(service)
    with Service(options.binary) as service:
        starts.measure(service)
        progress(f"first starts: {spread(starts.new)} s")
        ground = Ground(service, options.limits)
        try:
            plain = []
            for index in range(options.rounds):
                progress(f"round {index + 1} of {options.rounds} (about {options.seconds * 22} s)")
                one_round(ground, rounds, options.seconds)
                plain.append(beside(ground, 2 * options.seconds))
            loaded = resident(service.pid, "VmHWM")
            rows = ratios(rounds)
            rows += [
                verdict(f"{name} beside signatures and hashes, p99 ms", [of[name].p99 for of in plain], 10, at_most=True)
                for name in plain[0]
            ]
            if options.storm:
                progress(f"a storm of log ins ({options.storm} s)")
                rows += storm(ground, rounds, options.storm)
            url, _ = service.attach()
            progress("revocation as another node sees it, under load")
            rows += seen_elsewhere(ground, url, CONNECTIONS)
        finally:
            ground.stop()
        hashing = CORES * 19_456 / 1024  # as many hashes at once as there are cores
        rows += [
            verdict("idle memory, MiB", starts.idle, 45, at_most=True),
            verdict("memory at most, beyond idle and what hashes at once, MiB", [loaded - starts.idle[-1] - hashing], 30,
                    at_most=True),
            verdict("first answer on a migrated database, s", starts.attached, 0.5, at_most=True),
            verdict("`latchkey dev` on a new DIR, s", starts.new, 5, at_most=True),
            verdict("`latchkey dev` on an old DIR, s", starts.old, 2, at_most=True),
        ]
    size = os.path.getsize(options.binary) / 2**20
    print(f"\n{CORES} cores, {options.rounds} rounds of {options.seconds} s, {CONNECTIONS} connections; "
          f"binary {size:.0f} MiB unstripped; idle {starts.idle[-1]:.0f} MiB, at most {loaded:.0f} MiB\n")
    print(table(REQUEST_COLUMNS, [rounds.requests(title, name) for title, name in REQUESTS]), "\n")
    print(limits_of(rounds), "\n")
    print(table(VERDICT_COLUMNS, rows))


if __name__ == "__main__":
    main()
