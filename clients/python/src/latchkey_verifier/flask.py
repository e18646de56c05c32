"""For Flask: `@requires(scope=…, role=…)` before a view, `token` in it.

    guard = Latchkey(Verifier(issuer, audience, stale_after=5, when_stale=REFUSE))
    guard.init_app(app)

    @app.get("/orders")
    @guard.requires(scope="orders:read")
    def orders():
        return {"for": guard.token.subject}
"""

import functools

from flask import g, jsonify, request

from .errors import Forbidden, InvalidToken, TokenError, Unavailable


class MissingToken(InvalidToken):
    """RFC 6750 §3: who shows nothing is told the scheme, and no error."""


class Latchkey:
    def __init__(self, verifier, app=None, realm="api"):
        self.verifier, self.realm = verifier, realm
        if app is not None:
            self.init_app(app)

    def init_app(self, app):
        """Begins to follow the feed: once in each process, so behind a server that forks after it has loaded the
        application, call it there in each worker."""
        app.extensions["latchkey"] = self
        app.register_error_handler(TokenError, self._answer)
        self.verifier.start()

    @property
    def token(self):
        """The present request's `AccessToken`."""
        return g.latchkey_token

    def requires(self, *, scope=None, role=None):
        """Every word of `scope` must be in the token, and `role` too."""
        needed = frozenset((scope or "").split())

        def guard(view):
            @functools.wraps(view)
            def guarded(*arguments, **names):
                token = self.verifier.verify(self._bearer())
                if not needed <= token.scopes:
                    raise Forbidden("a scope is missing", scope=" ".join(sorted(needed)))
                if role is not None and role not in token.roles:
                    raise Forbidden("a role is missing")
                g.latchkey_token = token
                return view(*arguments, **names)

            return guarded

        return guard

    @staticmethod
    def _bearer():
        """RFC 6750 §2.1."""
        fields = request.headers.getlist("Authorization")
        scheme, _, text = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not text.strip():
            raise MissingToken("no bearer token")
        return text.strip()

    def _answer(self, error):
        answer = jsonify(error=error.code, error_description=str(error))
        answer.status_code = error.status
        answer.headers["Cache-Control"] = "no-store"
        if isinstance(error, Unavailable):
            answer.headers["Retry-After"] = "1"
            return answer
        challenge = f'Bearer realm="{self.realm}"'
        if not isinstance(error, MissingToken):
            challenge += f', error="{error.code}"'
            if isinstance(error, Forbidden) and error.scope:
                challenge += f', scope="{error.scope}"'
        answer.headers["WWW-Authenticate"] = challenge
        return answer
