"""Authlib as a client and as a resource service: everything it needs it reads from the discovery document."""

import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import BadSignatureError, ExpiredTokenError, InvalidClaimError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from service import (
    ISSUER,
    account,
    client_tokens,
    header,
    log_in,
    log_in_with_key,
    new_client,
    refused,
    rotate,
    run,
)


def metadata(path="/.well-known/oauth-authorization-server"):
    answer = requests.get(ISSUER + path, timeout=30)
    answer.raise_for_status()
    assert answer.headers["Content-Type"].startswith("application/json")
    return AuthorizationServerMetadata(answer.json())


def keys():
    return JsonWebKey.import_key_set(requests.get(metadata()["jwks_uri"], timeout=30).json())


def decode(token, key_set, audience=ISSUER, issuer=ISSUER, algorithms=("RS256",)):
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": audience},
        "exp": {"essential": True},
        "sub": {"essential": True},
    }
    claims = JsonWebToken(list(algorithms)).decode(token, key_set, claims_options=options)
    claims.validate()
    return claims


def session(answer):
    """A client that was handed its tokens by /auth/login."""
    return OAuth2Session(
        "first-party", token_endpoint_auth_method="none", revocation_endpoint_auth_method="none", token=answer
    )


def discover():
    document = metadata()
    assert document["issuer"] == ISSUER
    assert document == metadata("/.well-known/openid-configuration")
    # Its own checks, but for those that ask for https or for an authorization endpoint.
    for name in ["grant_types_supported", "token_endpoint_auth_methods_supported"]:
        getattr(document, "validate_" + name)()
    assert document["grant_types_supported"] == ["refresh_token", "client_credentials"]
    assert document["response_types_supported"] == []
    assert "authorization_endpoint" not in document
    for name in ["jwks_uri", "token_endpoint", "revocation_endpoint", "introspection_endpoint"]:
        assert document[name].startswith(ISSUER + "/")
    assert len(keys().keys) >= 3


def verify():
    token = log_in()["access_token"]
    key_set = keys()
    assert decode(token, key_set).header["typ"] == "at+jwt"
    refused(InvalidClaimError, lambda: decode(token, key_set, audience="https://other.example"))
    refused(InvalidClaimError, lambda: decode(token, key_set, issuer="https://other.example"))
    refused(ExpiredTokenError, lambda: decode(token, key_set).validate(now=decode(token, key_set)["exp"] + 1))
    refused(BadSignatureError, lambda: decode(token[:-8] + "AAAAAAAA", key_set))


def refresh():
    client = session(log_in())
    first = dict(client.token)
    refreshed = client.refresh_token(metadata()["token_endpoint"], refresh_token=first["refresh_token"])
    assert refreshed["refresh_token"] != first["refresh_token"]
    assert refreshed["token_type"] == "Bearer" and refreshed["expires_in"] == 600
    claims = [decode(token["access_token"], keys()) for token in (first, refreshed)]
    assert claims[0]["sid"] == claims[1]["sid"] and claims[0]["jti"] != claims[1]["jti"]
    assert account(refreshed["access_token"]) == 200
    refused(OAuthError, lambda: client.refresh_token(metadata()["token_endpoint"], refresh_token="lkr1.forged"))
    # By itself, when a request finds its token expired.
    client.token["expires_at"] = 1
    client.metadata["token_endpoint"] = metadata()["token_endpoint"]
    assert client.get(ISSUER + "/account", timeout=30).status_code == 200
    assert client.token["refresh_token"] != refreshed["refresh_token"]


def revoke():
    answer = log_in()
    client = session(answer)
    url = metadata()["revocation_endpoint"]
    assert account(answer["access_token"]) == 200
    assert client.revoke_token(url, token=answer["access_token"], token_type_hint="access_token").status_code == 200
    assert account(answer["access_token"]) == 401
    refreshed = dict(client.refresh_token(metadata()["token_endpoint"], refresh_token=answer["refresh_token"]))
    assert account(refreshed["access_token"]) == 200
    assert client.revoke_token(url, token=refreshed["refresh_token"]).status_code == 200
    assert account(refreshed["access_token"]) == 401
    try:
        client.refresh_token(metadata()["token_endpoint"], refresh_token=refreshed["refresh_token"])
    except OAuthError as error:
        assert error.error == "invalid_grant"
    else:
        raise AssertionError("a revoked refresh token was accepted")


def rotated():
    token = log_in()["access_token"]
    before = keys()
    new = rotate()
    assert new != header(token)["kid"]
    fresh = log_in_with_key(new)
    for key_set in [before, keys()]:
        decode(token, key_set)
        decode(fresh, key_set)


def algorithms():
    """Tokens of every algorithm that discovery names, from one mixed JWKS."""
    named = metadata()["access_token_signing_alg_values_supported"]
    assert named[0] == "RS256" and len(named) == 4
    for token, algorithm in client_tokens(named):
        claims = decode(token, keys(), algorithms=[algorithm])
        assert claims.header["alg"] == algorithm
        refused(BadSignatureError, lambda: decode(token[:-8] + "AAAAAAAA", keys(), algorithms=[algorithm]))


def service():
    """A service that gets a token for itself, by each method that discovery names for it."""
    document = metadata()
    assert "client_credentials" in document["grant_types_supported"]
    for method in ["client_secret_basic", "client_secret_post"]:
        assert method in document["token_endpoint_auth_methods_supported"]
        assert method in document["introspection_endpoint_auth_methods_supported"]
        made = new_client(client_name="stranger", scope="users:read orders:read", token_endpoint_auth_method=method)
        options = {
            "token_endpoint_auth_method": method,
            "revocation_endpoint_auth_method": method,
            "grant_type": "client_credentials",
        }
        client = OAuth2Session(made["client_id"], made["client_secret"], scope="users:read", **options)
        token = dict(client.fetch_token(document["token_endpoint"]))
        assert "refresh_token" not in token and token["scope"] == "users:read"
        claims = decode(token["access_token"], keys())
        assert claims["sub"] == claims["client_id"] == made["client_id"]
        assert client.get(ISSUER + "/admin/users", timeout=30).status_code == 200
        assert account(token["access_token"]) == 403
        told = client.introspect_token(document["introspection_endpoint"], token=token["access_token"]).json()
        assert told["active"] and told["sub"] == made["client_id"]
        assert client.revoke_token(document["revocation_endpoint"], token=token["access_token"]).status_code == 200
        assert client.get(ISSUER + "/admin/users", timeout=30).status_code == 401
        for wrong, code in [
            ({"client_secret": made["client_secret"][:-1] + "!"}, "invalid_client"),
            ({"client_id": "nobody"}, "invalid_client"),
            ({"scope": "users:write"}, "invalid_scope"),
        ]:
            given = {"client_id": made["client_id"], "client_secret": made["client_secret"], "scope": None} | wrong
            try:
                OAuth2Session(**given, **options).fetch_token(document["token_endpoint"])
            except OAuthError as error:
                assert error.error == code, error
            else:
                raise AssertionError(f"accepted with {list(wrong)}")


run(
    {
        "discover": discover,
        "verify": verify,
        "refresh": refresh,
        "revoke": revoke,
        "rotated": rotated,
        "service": service,
        "algorithms": algorithms,
    }
)
