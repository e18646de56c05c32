"""Why a token was not accepted, and why its issuer is not to be had. The texts hold nothing of a token and may be logged."""

import logging

log = logging.getLogger("latchkey_verifier")


class TokenError(Exception):
    """`status` and `code` are those of RFC 6750 §3.1, or 503."""

    status = 401
    code = "invalid_token"


class InvalidToken(TokenError):
    """Not one of ours, not for us, expired, or not a token at all."""


class RevokedToken(TokenError):
    """Its `jti`, its `sid` or its key stands in the revocation list."""


class Forbidden(TokenError):
    """A good token that may not do this."""

    status = 403
    code = "insufficient_scope"

    def __init__(self, message, scope=None):
        super().__init__(message)
        self.scope = scope


class Unavailable(TokenError):
    """No verdict for now: try again."""

    status = 503
    code = "temporarily_unavailable"


class StaleRevocations(Unavailable):
    """The list is older than its owner allows, and what is revoked since is not known."""


class BadMessage(Exception):
    """Of the feed: cut off, contradictory, not meant for us, or not signed by whom it should be. Nothing of it was
    applied."""


class Trouble:
    """Warns of what goes on failing: once, and again where the reason changes."""

    def __init__(self, what):
        self._what, self._told = what, None

    def failed(self, error):
        # Other errors' texts may hold a header that was sent, or bytes of an answer.
        reason = str(error) if isinstance(error, (OSError, BadMessage)) else type(error).__name__
        if reason != self._told:
            self._told = reason
            log.warning("%s: %s", self._what, reason)

    def is_over(self):
        self._told = None
