"""Why a token was not accepted. The texts hold nothing of the token and may be logged."""


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
