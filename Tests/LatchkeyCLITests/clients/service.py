"""What both clients share: the service's address and passwords from standard input, and plain HTTP."""

import json
import sys
import time

import requests

# {"issuer": ..., "username": ..., "password": ..., "admin_password": ...}
_given = json.load(sys.stdin)
ISSUER = _given["issuer"]


def post(path, **body):
    answer = requests.post(ISSUER + path, json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()


def log_in():
    """The answer of /auth/login for the user."""
    return post("/auth/login", username=_given["username"], password=_given["password"])


def account(access_token):
    """How the service itself answers the bearer: 200 or 401."""
    headers = {"Authorization": "Bearer " + access_token}
    return requests.get(ISSUER + "/account", headers=headers, timeout=30).status_code


def administer(path, **body):
    """Posts as the administrator."""
    admin = post("/auth/login", username="admin", password=_given["admin_password"])["access_token"]
    answer = requests.post(ISSUER + path, json=body, headers={"Authorization": "Bearer " + admin}, timeout=30)
    answer.raise_for_status()
    return answer.json()


def rotate():
    """Rotates the signing key as the administrator; the kid of the key that signs when this returns."""
    return administer("/admin/keys/rotate", reason="a client's test")["kid"]


def new_client(**metadata):
    """Registers an OAuth client; the answer holds its secret."""
    return administer("/admin/clients", **metadata)


def client_tokens(algorithms):
    """A token of a client for each of `algorithms`, and its algorithm; waits until a key of it may sign."""
    clients = [
        new_client(client_name=algorithm, access_token_signed_response_alg=algorithm) for algorithm in algorithms
    ]
    waiting = dict(zip(algorithms, clients))
    limit = time.monotonic() + 60
    while waiting:
        for algorithm, client in list(waiting.items()):
            assert client["access_token_signed_response_alg"] == algorithm
            answer = requests.post(
                ISSUER + "/oauth2/token",
                data={"grant_type": "client_credentials"},
                auth=(client["client_id"], client["client_secret"]),
                timeout=30,
            )
            answer.raise_for_status()
            token = answer.json()["access_token"]
            if header(token)["alg"] == algorithm:
                del waiting[algorithm]
                yield token, algorithm
            else:
                # Until then by the installation's own.
                assert header(token)["alg"] == "RS256"
        assert time.monotonic() < limit, f"nothing signs by {list(waiting)}"
        time.sleep(0.2)


def log_in_with_key(kid):
    """Logs in until the token is signed by `kid`, which is two seconds after the rotation."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        token = log_in()["access_token"]
        if header(token)["kid"] == kid:
            return token
    raise AssertionError("the new key does not sign")


def header(token):
    import base64

    part = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def refused(error, call):
    """True where `call` raises `error` itself, not another of its family."""
    try:
        call()
    except error as raised:
        assert type(raised) is error, f"{raised!r} instead of {error.__name__}"
        return
    raise AssertionError(f"accepted, instead of {error.__name__}")


def run(checks):
    """Runs the check that the first argument names and says so."""
    checks[sys.argv[1]]()
    print("ok " + sys.argv[1])
