"""The package as pip installs it, and the Flask example as its first lines say that one runs it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request

import pytest

from conftest import Answer
from feeds import becomes

ROOT = pathlib.Path(__file__).parents[3]


def done(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with the package installed, whose dependencies are those of the tests' own."""
    folder = tmp_path_factory.mktemp("installed")
    done(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    packages = done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (pathlib.Path(packages) / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # A build leaves its own files beside the sources.
    source = folder / "source"
    shutil.copytree(ROOT / "clients" / "python", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    done(python, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-build-isolation", "--no-index",
         source)
    return python


def test_every_module_of_the_sources_is_installed(python):
    program = """
import importlib, pathlib, sys
import latchkey_verifier
folder = pathlib.Path(latchkey_verifier.__file__).parent
assert folder.is_relative_to(sys.prefix), folder
print(*sorted(path.name for path in folder.glob("*.py")))
for path in folder.glob("*.py"):
    importlib.import_module("latchkey_verifier." + path.stem if path.stem != "__init__" else "latchkey_verifier")
"""
    sources = ROOT / "clients" / "python" / "src" / "latchkey_verifier"
    assert done(python, "-I", "-c", program).split() == sorted(path.name for path in sources.glob("*.py"))


@pytest.fixture
def orders(python, latchkey, tmp_path):
    """The example's address, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LATCHKEY_", "PYTHON"))}
    environment |= {"ISSUER": latchkey.issuer, "PYTHONDONTWRITEBYTECODE": "1"}
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            [python, "-m", "flask", "--app", "orders", "run", "--port", str(port)], cwd=ROOT / "Examples" / "flask",
            env=environment, stdout=file, stderr=file)
    address = f"http://127.0.0.1:{port}"
    try:
        # 503 until it has heard of its issuer.
        assert becomes(lambda: asked(address + "/orders", "a.b.c") == 401, 30), log.read_text()
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, None)


def asked(url, token):
    """The status; None where nobody listens yet."""
    try:
        return get(url, token).status
    except OSError:
        return None


def test_the_example_serves_a_token_and_refuses_it_within_a_second_of_its_revocation(orders, latchkey):
    token = latchkey.log_in()["access_token"]
    served = get(orders + "/orders", token)
    assert served.status == 200 and served.json == {"orders": [], "for": served.json["for"]}
    assert get(orders + "/orders/all", token).status == 200
    refused = get(orders + "/orders/refunds", token)
    assert refused.status == 403 and 'scope="orders:refund"' in refused.headers["WWW-Authenticate"]
    assert get(orders + "/orders").status == 401
    assert get(orders + "/orders", token[:-8] + "AAAAAAAA").status == 401

    latchkey.revoke(token)
    revoked = time.monotonic()
    assert becomes(lambda: get(orders + "/orders", token).status == 401, 5)
    assert time.monotonic() - revoked < 1
    assert get(orders + "/orders", latchkey.log_in()["access_token"]).status == 200
