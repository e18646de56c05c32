"""A running Latchkey: `latchkey dev` of the binary that LATCHKEY_BINARY names, on a PostgreSQL of its own."""

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

import pytest

PASSWORD = "correct horse battery staple"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers = status, headers
        self.json = json.loads(body) if body else None


class Latchkey:
    def __init__(self, binary):
        self.folder = tempfile.mkdtemp(prefix="latchkey-python-")
        os.chmod(self.folder, 0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
        environment |= {
            "LATCHKEY_ADMIN_PASSWORD": PASSWORD, "LATCHKEY_ARGON2_MEMORY_KIB": "64", "LATCHKEY_ARGON2_ITERATIONS": "1"}
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.process = subprocess.Popen(
            [binary, "dev", "--port", str(port), "--data", os.path.join(self.folder, "data")], cwd=self.folder,
            env=environment, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.call("GET", "/readyz").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("latchkey dev did not become ready: " + open(self.log.name).read()[-2000:])

    def call(self, method, path, *, body=None, form=None, token=None):
        data, headers = None, {}
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        if form is not None:
            data = urllib.parse.urlencode(form).encode()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.issuer + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def log_in(self, name="admin"):
        answer = self.call("POST", "/auth/login", body={"username": name, "password": PASSWORD})
        assert answer.status == 200, answer.json
        return answer.json

    def revoke(self, token):
        """The position at which it was revoked."""
        answer = self.call("POST", "/oauth2/revoke", form={"token": token})
        assert answer.status == 200
        return answer.headers["Latchkey-Position"]

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def latchkey():
    binary = os.environ.get("LATCHKEY_BINARY")
    if not binary:
        pytest.skip("LATCHKEY_BINARY names no latchkey to run")
    service = Latchkey(os.path.abspath(binary))
    yield service
    service.end()
