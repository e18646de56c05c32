"""The Flask extension against a running Latchkey, through the example that ships."""

import importlib.util
import pathlib

import pytest

EXAMPLE = pathlib.Path(__file__).parents[3] / "Examples" / "flask" / "orders.py"


@pytest.fixture(scope="module")
def app(latchkey):
    spec = importlib.util.spec_from_file_location("orders", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = module.create_app(latchkey.issuer, latchkey.issuer)
    verifier = app.extensions["latchkey"].verifier
    assert verifier.wait_until_fresh(20)
    yield app
    verifier.end()


def get(app, path, *headers):
    return app.test_client().get(path, headers=list(headers))


def bearer(token):
    return ("Authorization", f"Bearer {token}")


def test_who_shows_nothing_is_told_the_scheme_and_no_error(app):
    answer = get(app, "/orders")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize("field", ["Basic YTpi", "Bearer", "Bearer ", "bearer a.b.c", "Bearer a b"])
def test_another_scheme_or_no_token_is_401(app, field):
    assert get(app, "/orders", ("Authorization", field)).status_code == 401


def test_two_tokens_are_none(app, latchkey):
    field = bearer(latchkey.log_in()["access_token"])
    assert get(app, "/orders", field, field).status_code == 401


def test_a_token_opens_what_its_scopes_and_roles_allow_until_it_is_revoked(app, latchkey):
    token = latchkey.log_in()["access_token"]
    assert get(app, "/orders", bearer(token)).status_code == 200
    assert get(app, "/orders/all", bearer(token)).status_code == 200
    position = latchkey.revoke(token)
    assert app.extensions["latchkey"].verifier.wait_until_applied(position, 5)
    answer = get(app, "/orders", bearer(token))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_missing_scope_is_named(app, latchkey):
    answer = get(app, "/orders/refunds", bearer(latchkey.log_in()["access_token"]))
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="orders:refund"')


def test_a_missing_role_is_403(app, latchkey):
    from conftest import PASSWORD

    name = "python-user"
    assert latchkey.call("POST", "/auth/register", body={"username": name, "password": PASSWORD}).status == 201
    token = latchkey.log_in(name)["access_token"]
    assert get(app, "/orders", bearer(token)).status_code == 200
    assert get(app, "/orders/all", bearer(token)).status_code == 403
