"""A resource service in Flask that verifies Latchkey's tokens offline and refuses what was revoked within a second.

    pip install ../../clients/python[flask]
    ISSUER=http://127.0.0.1:8080 flask --app orders run
"""

import os

from flask import Flask
from latchkey_verifier import REFUSE, Verifier
from latchkey_verifier.flask import Latchkey


def create_app(issuer=None, audience=None):
    app = Flask(__name__)
    issuer = issuer or os.environ["ISSUER"]
    # Orders are worth more than an answer: where it is not known what is revoked, refuse.
    guard = Latchkey(
        Verifier(issuer, audience or os.environ.get("AUDIENCE", issuer), stale_after=5, when_stale=REFUSE,
                 name="orders-flask"), app)

    @app.get("/orders")
    @guard.requires(scope="account")
    def orders():
        return {"orders": [], "for": guard.token.subject}

    @app.get("/orders/all")
    @guard.requires(role="admin")
    def all_orders():
        return {"orders": []}

    @app.get("/orders/refunds")
    @guard.requires(scope="orders:refund")
    def refunds():
        return {"refunds": []}

    return app
