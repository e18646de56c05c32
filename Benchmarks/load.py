"""Load by wrk, with what it cost: the service's CPU, PostgreSQL's, and the generator's own share."""

import json
import os
import resource
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Result:
    """One run: requests, seconds, latencies in ms, CPU seconds of service, PostgreSQL and generator."""

    def __init__(self, count, seconds, service=0.0, postgres=0.0, generator=0.0, p50=0.0, p99=0.0, errors=0):
        self.count, self.seconds = count, seconds
        self.service, self.postgres, self.generator = service, postgres, generator
        self.p50, self.p99, self.errors = p50, p99, errors

    @property
    def rate(self):
        return self.count / self.seconds

    @property
    def per_1000(self):
        """CPU seconds per 1,000 requests, service and PostgreSQL together."""
        return (self.service + self.postgres) / self.count * 1000


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Load:
    """wrk in the background; `result` waits for its end. `cpu` gives (service, PostgreSQL) at any instant."""

    def __init__(self, url, *, seconds, connections, threads=2, script=None, arguments=(), cpu=None):
        self.cpu = cpu or (lambda: (0.0, 0.0))
        self.seconds = seconds
        self.output = tempfile.TemporaryFile("w+")
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "8s"]
        command += ["-s", os.path.join(HERE, "load", (script or "get") + ".lua"), url, "--", *map(str, arguments)]
        self.before, self.generator = self.cpu(), children_cpu()
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=self.output, stderr=subprocess.DEVNULL, cwd=os.path.join(HERE, "load"))

    def result(self):
        self.process.wait(self.seconds + 30)
        after, generator = self.cpu(), children_cpu()
        self.output.seek(0)
        lines = [line for line in self.output if line.startswith("{")]
        if self.process.returncode != 0 or not lines:
            raise SystemExit(f"wrk ended with {self.process.returncode}")
        told = json.loads(lines[-1])
        if told["count"] == 0:
            raise SystemExit(f"no request was answered: {told}")
        return Result(
            told["count"], told["seconds"], after[0] - self.before[0], after[1] - self.before[1],
            generator - self.generator, told["p50"], told["p99"], told["errors"])


def run(url, **options):
    return Load(url, **options).result()


def output(binary, *arguments, database=None, input=None):
    """What a command of `limits` prints, with the installation of `database` where one is given."""
    environment = dict(os.environ)
    if database:
        environment["LATCHKEY_DATABASE_URL"] = database.state()["database"]
        environment["LATCHKEY_KEYS_DIR"] = os.path.join(database.data, "keys")
    done = subprocess.run(
        [binary, *map(str, arguments)], env=environment, input=input, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise SystemExit(f"limits {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout.strip()


def limit(binary, *arguments, database=None):
    """A limit, and what PostgreSQL spent meanwhile."""
    before = database.cpu() if database else (0.0, 0.0)
    told = json.loads(output(binary, *arguments, database=database))
    postgres = database.cpu()[1] - before[1] if database else 0.0
    return Result(told["count"], told["seconds"], told["cpu"], postgres)


def sessions(binary, database, count, path):
    """Writes refresh tokens of `count` sessions made by one INSERT, a line each."""
    with open(path, "w") as file:
        file.write(output(binary, "sessions", "--count", count, database=database) + "\n")


def openssl(seconds, processes):
    """CPU seconds per 1,000 RSA-2048 signatures and verifications, every core busy: its rates are of CPU time."""
    done = subprocess.run(
        ["openssl", "speed", "-seconds", str(seconds), "-multi", str(processes), "rsa2048"], capture_output=True,
        text=True, timeout=60 + 4 * seconds)
    fields = next(line for line in done.stdout.splitlines() if line.startswith("rsa 2048")).split()
    signatures, verifications = float(fields[-2]), float(fields[-1])
    return processes / signatures * 1000, processes / verifications * 1000
