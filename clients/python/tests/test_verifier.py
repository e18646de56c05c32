"""The verifier against a running Latchkey: real keys, a real feed, a revoke in the middle."""

import signal

import pytest

from feeds import becomes

from latchkey_verifier import (
    ACCEPT, REFUSE, InvalidToken, RevokedToken, StaleRevocations, Unavailable, Verifier)


def outcome(verifier, token):
    try:
        verifier.verify(token)
        return "accepted"
    except Exception as error:
        return type(error)


@pytest.fixture
def verifiers(latchkey):
    made = []

    def make(**options):
        verifier = Verifier(
            latchkey.issuer, options.pop("audience", latchkey.issuer), stale_after=options.pop("stale_after", 3),
            when_stale=options.pop("when_stale", REFUSE), **options)
        made.append(verifier)
        verifier.start()
        assert verifier.wait_until_fresh(20)
        return verifier

    yield make
    for verifier in made:
        verifier.end()


@pytest.mark.parametrize("options", [
    {"stale_after": 2, "when_stale": REFUSE}, {"stale_after": 5, "when_stale": "perhaps"}, {"stale_after": 5},
    {"when_stale": REFUSE}, {"audience": "", "stale_after": 5, "when_stale": REFUSE},
])
def test_what_only_the_owner_can_say_has_no_default(options):
    with pytest.raises((TypeError, ValueError)):
        Verifier("https://id.example", options.pop("audience", "https://orders.example"), **options)


def test_before_the_issuer_was_reached_there_is_no_verdict():
    verifier = Verifier("http://127.0.0.1:1", "a", stale_after=3, when_stale=ACCEPT)
    with pytest.raises(Unavailable):
        verifier.verify("a.b.c")


def test_a_token_is_verified_and_refused_once_it_is_revoked(latchkey, verifiers):
    verifier = verifiers(name="tests/1")
    token = latchkey.log_in()["access_token"]
    assert "keys:rotate" in verifier.verify(token).scopes
    assert "admin" in verifier.verify(token).roles
    position = latchkey.revoke(token)
    assert verifier.wait_until_applied(position, 5)
    with pytest.raises(RevokedToken):
        verifier.verify(token)


def test_a_session_that_ends_takes_its_tokens_along(latchkey, verifiers):
    verifier = verifiers()
    login = latchkey.log_in()
    again = latchkey.call(
        "POST", "/oauth2/token", form={"grant_type": "refresh_token", "refresh_token": login["refresh_token"]}).json
    latchkey.revoke(again["refresh_token"])
    for token in (login["access_token"], again["access_token"]):
        assert becomes(lambda: outcome(verifier, token) is RevokedToken, 5)


@pytest.mark.parametrize("spoil", [
    lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), lambda token: token + "A", lambda token: "",
    lambda token: "a.b.c", lambda token: token.rsplit(".", 1)[0] + ".", lambda token: "x" * 20_000,
    lambda token: token.replace(".", "", 1), lambda token: token + "é",
])
def test_what_is_not_our_token_is_refused(latchkey, verifiers, spoil):
    verifier = verifiers()
    with pytest.raises(InvalidToken):
        verifier.verify(spoil(latchkey.log_in()["access_token"]))


def test_a_token_for_somebody_else_is_refused(latchkey, verifiers):
    with pytest.raises(InvalidToken):
        verifiers(audience="https://elsewhere.example").verify(latchkey.log_in()["access_token"])


def test_a_node_that_says_nothing_any_more_is_noticed_and_its_return_too(latchkey, verifiers):
    strict, lenient = verifiers(), verifiers(when_stale=ACCEPT)
    token = latchkey.log_in()["access_token"]
    assert outcome(strict, token) == outcome(lenient, token) == "accepted"
    latchkey.send(signal.SIGSTOP)
    try:
        assert becomes(lambda: outcome(strict, token) is StaleRevocations, 15)
        assert outcome(lenient, token) == "accepted", "its owner said so"
    finally:
        latchkey.send(signal.SIGCONT)
    assert becomes(lambda: outcome(strict, token) == "accepted", 20)
    latchkey.revoke(token)
    assert becomes(lambda: outcome(strict, token) is RevokedToken, 5)


def test_polls_serve_where_the_stream_does_not(latchkey, verifiers, monkeypatch):
    from latchkey_verifier.follower import Follower

    def no_stream(self):
        raise OSError("no stream here")

    monkeypatch.setattr(Follower, "_stream", no_stream)
    verifier = verifiers(stale_after=6)
    token = latchkey.log_in()["access_token"]
    assert outcome(verifier, token) == "accepted"
    latchkey.revoke(token)
    assert becomes(lambda: outcome(verifier, token) is RevokedToken, 5)


def test_the_feeds_signatures_are_checked_where_its_keys_are_pinned(latchkey, verifiers):
    metadata = latchkey.call("GET", "/.well-known/openid-configuration").json
    verifier = verifiers(feed_jwks=metadata["latchkey_revocations_jwks"])
    token = latchkey.log_in()["access_token"]
    latchkey.revoke(token)
    assert becomes(lambda: outcome(verifier, token) is RevokedToken, 5)


def test_a_feed_signed_by_another_key_is_no_feed(latchkey):
    metadata = latchkey.call("GET", "/.well-known/openid-configuration").json
    jwks = metadata["latchkey_revocations_jwks"]
    other = "A" * 42 + "E"
    jwks["keys"] = [{**key, "x": other} for key in jwks["keys"]]
    verifier = Verifier(latchkey.issuer, latchkey.issuer, stale_after=3, when_stale=REFUSE, feed_jwks=jwks)
    verifier.start()
    try:
        assert not verifier.wait_until_fresh(4)
        assert outcome(verifier, latchkey.log_in()["access_token"]) in (StaleRevocations, Unavailable)
    finally:
        verifier.end()
