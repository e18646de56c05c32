"""A PostgreSQL cluster and nodes that can be killed, stopped and restored, in a folder that goes away."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from service import PASSWORD, ask, free_port


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    return os.path.dirname(found[-1] if found else shutil.which("initdb"))


def psql(database, *arguments, input=None, seconds=900):
    """What one call of psql prints, unaligned and without a heading."""
    done = subprocess.run(
        [os.path.join(programs(), "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
         "--set", "ON_ERROR_STOP=1", *arguments, database],
        input=input, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise SystemExit(f"psql: {done.stderr}")
    return done.stdout.strip()


class Cluster:
    """PostgreSQL refuses to run as root: then it runs as its Debian user."""

    def __init__(self, folder):
        self.folder, self.data, self.made = folder, None, 0
        self.account = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self.account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.database = f"host={folder} port=5432 user=latchkey dbname=latchkey"
        self.log = open(os.path.join(folder, "postgres.log"), "a")

    def run(self, program, *arguments):
        subprocess.run(
            [os.path.join(programs(), program), *arguments], check=True, stdout=self.log, stderr=self.log,
            cwd=self.folder, timeout=300, **self.account)

    def make(self):
        """A new cluster in the place of the one before, with an empty database."""
        self.made += 1
        self.data = os.path.join(self.folder, f"data-{self.made}")
        self.run("initdb", "-D", self.data, "--username=latchkey", "--auth=trust", "--encoding=UTF8")
        self.start()
        self.run("createdb", "-h", self.folder, "-U", "latchkey", "latchkey")

    def start(self):
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c max_connections=200"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.folder, "server.log"), "-o", options, "start")

    def stop(self, mode):
        self.run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def dump(self):
        """A backup of the database, as SQL."""
        path = os.path.join(self.folder, f"dump-{self.made}.sql")
        self.run("pg_dump", "-h", self.folder, "-U", "latchkey", "--file", path, "latchkey")
        return path


class Site:
    """Nodes of one installation on a cluster of their own."""

    def __init__(self, binary, nodes, **settings):
        self.binary = os.path.abspath(binary)
        # Short: a socket's path has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="latchkey-site-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        home = os.path.join(self.folder, "pg")
        os.mkdir(home)
        self.cluster = Cluster(home)
        self.cluster.make()
        self.data = self.folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
            "LATCHKEY_DATABASE_URL": self.cluster.database,
            "LATCHKEY_KEYS_DIR": os.path.join(self.folder, "keys"),
            "LATCHKEY_ISSUER": "http://127.0.0.1:1",
            "LATCHKEY_LOGIN_FAILURES_PER_ADDRESS": "0",
            **{f"LATCHKEY_{name}": str(value) for name, value in settings.items()},
        }
        self.command("master-key", "init")
        self.command("migrate")
        self.ports = [free_port() for _ in range(nodes)]
        self.processes = [None] * nodes
        for number in range(nodes):
            self.start(number)
        self.command("users", "create", "admin", "--role", "admin", input=PASSWORD + "\n")

    @property
    def urls(self):
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def state(self):
        """As `Service` tells it, for `load.output`."""
        return {"database": self.cluster.database}

    def command(self, *arguments, input=None):
        done = subprocess.run(
            [self.binary, *arguments], env=self.environment, input=input, text=True, capture_output=True, timeout=120,
            cwd=self.folder)
        if done.returncode != 0:
            raise SystemExit(f"latchkey {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def start(self, number):
        log = open(os.path.join(self.folder, f"node-{number}.log"), "a")
        self.processes[number] = subprocess.Popen(
            [self.binary, "serve", "--port", str(self.ports[number])],
            env={**self.environment, "LATCHKEY_MANAGEMENT_PORT": str(free_port())}, cwd=self.folder, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.wait(number, 60)

    def wait(self, number, seconds):
        """Seconds until the node says that it is ready."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            try:
                if ask("GET", self.urls[number] + "/readyz").status == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            if self.processes[number].poll() is not None:
                break
            time.sleep(0.02)
        with open(os.path.join(self.folder, f"node-{number}.log")) as log:
            raise SystemExit(f"node {number} is not ready: {log.read()[-2000:]}")

    def kill(self, number):
        self.processes[number].kill()
        self.processes[number].wait()

    def listed(self):
        """The ids on the list, as the database has it."""
        return set(psql(self.cluster.database, "--command", "SELECT id FROM revocation_entries").split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        self.cluster.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
