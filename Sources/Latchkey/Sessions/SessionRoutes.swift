package import Hummingbird
package import JOSE
import LatchkeyHummingbird
import LatchkeyVerifier

/// `POST /auth/login` (also at `/auth/api`) and `POST /auth/logout`.
package struct SessionRoutes: Sendable {
    private let sessions: Sessions

    package init(_ sessions: Sessions) {
        self.sessions = sessions
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/auth/login", use: logIn)
        router.post("/auth/api", use: logIn)
    }

    /// Routes for bearers.
    package func addGuarded(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/auth/logout") { _, context in
            guard let token = context.accessToken, let sid = token.sessionUniqueID else { throw Rejection.missingToken }
            guard !token.isClients else { throw Rejection.invalidToken(reason: "The token is not a user's.") }
            let ended = try await sessions.end(
                sid, of: nil, cause: .loggedOut, reason: nil, origin: context.origin)
            // A session that has no row any more (the database was set back) has a token all the same.
            let position =
                if let ended { ended } else {
                    try await sessions.revocations.revoke(
                        tokenID: token.tokenUniqueID, audit: .tokenRevoked(token: token.tokenID, reason: nil),
                        origin: context.origin)
                }
            return Response.noContent(caching: .noStore).at(position)
        }
    }

    @Sendable
    private func logIn(_ request: Request, context: LatchkeyRequestContext) async throws -> Response {
        try await request.whileCallerWaits(on: context, admit: sessions.admitLogIn) { request in
            let body = try await JSONBody(request)
            let tokens = try await sessions.metrics.counted {
                try await sessions.logIn(
                    .init(
                        username: try body.string("username"), password: try body.string("password"),
                        resources: try body.stringOrArray("resource"), scope: try body.optionalString("scope"),
                        deviceToken: try body.optionalString("device_token")),
                    origin: context.origin)
            }
            return Response.json(tokens.json(withSession: .shown), caching: .noStore)
        }
    }
}

extension Sessions.Tokens {
    package enum SessionMember { case shown, hidden }

    /// RFC 6749 §5.1.
    package func json(withSession member: SessionMember) -> JSONValue {
        .object(
            JSONObject([
                ("access_token", .string(accessToken)), ("token_type", "Bearer"), ("expires_in", .integer(expiresIn)),
                ("refresh_token", .string(refreshToken)),
                ("session_id", member == .shown ? .string(sessionID) : nil),
                ("scope", .string(scopes.joined(separator: " "))),
                ("device_token", deviceToken.map { .string($0) }),
            ]))
    }
}
