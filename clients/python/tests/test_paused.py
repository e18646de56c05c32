"""A process that stands still while a token is revoked, and goes on."""

import pathlib
import signal
import subprocess
import sys
import time

PROGRAM = """
import sys
from latchkey_verifier import REFUSE, TokenError, Verifier

verifier = Verifier(sys.argv[1], sys.argv[1], stale_after=3, when_stale=REFUSE).start()
assert verifier.wait_until_fresh(20)
for line in sys.stdin:
    try:
        verifier.verify(line.strip())
        print("accepted", flush=True)
    except TokenError as error:
        print(type(error).__name__, flush=True)
"""
PAUSE = 4


def test_a_token_that_was_revoked_meanwhile_is_never_accepted(latchkey):
    token = latchkey.log_in()["access_token"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, latchkey.issuer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=pathlib.Path(__file__).parents[1] / "src")
    try:
        def ask(times):
            process.stdin.write((token + "\n") * times)
            process.stdin.flush()

        def hear():
            return process.stdout.readline().strip()

        ask(1)
        assert hear() == "accepted"
        process.send_signal(signal.SIGSTOP)
        latchkey.revoke(token)
        time.sleep(PAUSE)  # Longer than its list may be old: that is what the test is about.
        ask(20)  # Read before anything that the feed has sent meanwhile.
        process.send_signal(signal.SIGCONT)
        verdicts = [hear() for _ in range(20)]
        assert set(verdicts) <= {"StaleRevocations", "RevokedToken"}, verdicts
        deadline = time.monotonic() + 20
        while verdicts[-1] != "RevokedToken" and time.monotonic() < deadline:
            ask(1)
            verdicts.append(hear())
        assert verdicts[-1] == "RevokedToken" and "accepted" not in verdicts
    finally:
        process.kill()
        process.wait()
