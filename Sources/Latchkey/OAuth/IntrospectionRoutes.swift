import Postgres
package import Hummingbird
import JOSE
import LatchkeyHummingbird
import LatchkeyVerifier

/// `POST /oauth2/introspect` (RFC 7662), for bearers with scope `introspect`.
package struct IntrospectionRoutes: Sendable {
    private let sessions: Sessions
    private let judge: TokenJudge
    private let issuer: String

    package init(_ sessions: Sessions, judge: TokenJudge, issuer: String) {
        self.sessions = sessions
        self.judge = judge
        self.issuer = issuer
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/oauth2/introspect") { request, context in
            try context.require(scope: "introspect")
            let token = try await FormBody(request).required("token")
            return Response.json(try await describe(token), caching: .noStore)
        }
    }

    /// Whatever is not alive is `{"active":false}` and nothing else (RFC 7662 §2.2).
    private func describe(_ text: String) async throws -> JSONValue {
        if let token = try sessions.refreshToken(text) {
            guard let session = try await sessions.inspect(token) else { return ["active": false] }
            return [
                "active": true, "token_type": "refresh_token", "iss": .string(issuer),
                "sub": .string(session.userID.text), "client_id": .string(session.clientID),
                "sid": .string(session.sid.text), "exp": .integer(session.idleUntil.seconds),
                "iat": .integer(session.refreshedAt.seconds),
            ]
        }
        let token: AccessToken
        do {
            token = try judge.inspect(text)
        } catch is TokenRejection {
            return ["active": false]
        }
        return .object(
            JSONObject([
                ("active", true), ("token_type", "Bearer"), ("iss", .string(issuer)), ("sub", .string(token.subject)),
                ("aud", .array(token.audience.map { .string($0) })), ("client_id", .string(token.clientID)),
                ("exp", .integer(token.expiresAt)), ("iat", .integer(token.issuedAt)), ("jti", .string(token.tokenID)),
                ("sid", token.sessionID.map { .string($0) }),
                ("scope", token.scopes.isEmpty ? nil : .string(token.scopes.joined(separator: " "))),
                ("roles", token.roles.isEmpty ? nil : .array(token.roles.map { .string($0) })),
            ]))
    }
}
