"""The service under load: `latchkey dev` from the release binary, on a PostgreSQL of its own, in a folder that goes away."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
PASSWORD = "correct horse battery staple"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_of(pid):
    """CPU seconds of a process and of its children that have ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


def resident(pid, what="VmRSS"):
    """Resident memory in MiB; `VmHWM` is the most that there ever was."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(what + ":"):
                return int(line.split()[1]) / 1024
    return 0.0


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def ask(method, url, *, form=None, body=None, token=None, basic=None):
    """One request by the standard library; any status is an answer."""
    data, headers = None, {}
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if basic:
        headers["Authorization"] = f"Basic {basic}"
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


class Service:
    """One `latchkey dev`; further nodes by `attach`."""

    def __init__(self, binary, **settings):
        self.binary = os.path.abspath(binary)
        self.folder = tempfile.mkdtemp(prefix="latchkey-bench-")
        self.data = os.path.join(self.folder, "data")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
            # One machine, one address: its limit would be the first to be met.
            "LATCHKEY_LOGIN_FAILURES_PER_ADDRESS": "0",
            "LATCHKEY_ADMIN_PASSWORD": PASSWORD,
            "LATCHKEY_LOG_LEVEL": "info",
            **{f"LATCHKEY_{name}": str(value) for name, value in settings.items()},
        }
        self.nodes = []
        self.first_start = self.start()

    def start(self):
        """Seconds until the first answer."""
        return self._run(["dev", "--port", str(self.port), "--data", self.data], self.url)

    def attach(self):
        """A second node on the same installation; its URL and the seconds to its first answer."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        return url, self._run(["serve", "--data", self.data, "--port", str(port)], url)

    def _run(self, arguments, url):
        log = open(os.path.join(self.folder, f"log-{len(self.nodes)}"), "w")
        began = time.monotonic()
        process = subprocess.Popen(
            [self.binary, *arguments], cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True)  # as a service manager starts it
        self.nodes.append(process)
        while time.monotonic() - began < 60:
            if process.poll() is not None:
                raise SystemExit(f"latchkey {arguments[0]} ended with {process.returncode}: {self.last_words()}")
            try:
                if ask("GET", url + "/readyz").status == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.002)
        raise SystemExit("latchkey did not become ready within 60 s: " + self.last_words())

    def last_words(self):
        words = ""
        for name in sorted(os.listdir(self.folder)):
            if name.startswith("log-"):
                with open(os.path.join(self.folder, name)) as log:
                    words += log.read()[-1000:]
        return words

    @property
    def pid(self):
        return self.nodes[0].pid

    def state(self):
        with open(os.path.join(self.data, "dev.json")) as file:
            return json.load(file)

    def postmaster(self):
        with open(os.path.join(self.state()["cluster"], "postmaster.pid")) as file:
            return int(file.readline())

    def cpu(self):
        """CPU seconds so far: of every node, and of every process of PostgreSQL."""
        nodes = sum(cpu_of(node.pid) for node in self.nodes)
        server = self.postmaster()
        return nodes, cpu_of(server) + sum(cpu_of(child) for child in children(server))

    def command(self, *arguments, input=None):
        result = subprocess.run(
            [self.binary, *arguments, "--data", self.data], env=self.environment, input=input, text=True,
            capture_output=True, timeout=120)
        if result.returncode != 0:
            raise SystemExit(f"latchkey {' '.join(arguments)}: {result.stderr}")
        return result.stdout

    def log_in(self, username="admin", **fields):
        answer = ask("POST", self.url + "/auth/login", body={"username": username, "password": PASSWORD, **fields})
        if answer.status != 200:
            raise SystemExit(f"log in answered {answer.status}: {answer.body!r}")
        return answer.json()

    def admin(self, method, path, body):
        answer = ask(method, self.url + path, body=body, token=self.log_in()["access_token"])
        if answer.status >= 300:
            raise SystemExit(f"{method} {path} answered {answer.status}: {answer.body!r}")
        return answer.json()

    def end(self, process):
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        self.nodes.remove(process)

    def stop(self):
        for process in reversed(list(self.nodes)):
            self.end(process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        cluster = self.state().get("cluster", "")
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        # As root the cluster lies where its own user can reach it.
        if cluster and not cluster.startswith(self.folder):
            shutil.rmtree(os.path.dirname(cluster), ignore_errors=True)
