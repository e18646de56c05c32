"""Verifies Latchkey's access tokens offline, through the JWKS, and follows its revocation feed.

    verifier = Verifier("https://id.example", "https://orders.example", stale_after=5, when_stale=REFUSE)
    verifier.start()
    token = verifier.verify(text)      # an AccessToken, or a TokenError

The feed's words and promises are those of `docs/revocation.md` of Latchkey.
"""

from .errors import Forbidden, InvalidToken, RevokedToken, StaleRevocations, TokenError, Unavailable
from .freshness import ACCEPT, REFUSE
from .verifier import AccessToken, Verifier

__all__ = [
    "ACCEPT", "REFUSE", "AccessToken", "Forbidden", "InvalidToken", "RevokedToken", "StaleRevocations", "TokenError",
    "Unavailable", "Verifier",
]
