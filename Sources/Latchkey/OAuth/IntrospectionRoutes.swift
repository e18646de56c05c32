import HTTPTypes
package import Hummingbird
import JOSE
import LatchkeyHummingbird
import LatchkeyVerifier
import Postgres

/// `POST /oauth2/introspect` (RFC 7662), for clients that authenticate and for bearers with scope `introspect`.
package struct IntrospectionRoutes: Sendable {
    private let sessions: Sessions
    private let clients: Clients
    private let judge: TokenJudge
    private let issuer: String

    package init(_ sessions: Sessions, clients: Clients, judge: TokenJudge, issuer: String) {
        self.sessions = sessions
        self.clients = clients
        self.judge = judge
        self.issuer = issuer
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        let judge = judge
        let bearer = BearerMiddleware<LatchkeyRequestContext> { token in try judge.admit(token) }
        router.post("/oauth2/introspect") { request, context in
            guard let form = try await formOfClient(request) else {
                return try await bearer.handle(request, context: context) { request, context in
                    try context.require(scope: "introspect")
                    return try await answer(try await FormBody(request))
                }
            }
            return try await answer(form)
        }
    }

    private func answer(_ form: FormBody) async throws -> Response {
        Response.json(try await describe(try form.required("token")), caching: .noStore)
    }

    /// The form of a request that comes from a client, once that has authenticated; nil where it shows no client's
    /// credentials, and then a bearer token is asked for. A public client shows none: whoever names it would read tokens.
    private func formOfClient(_ request: Request) async throws -> FormBody? {
        let scheme = request.headers[.authorization].map { $0.utf8.prefix { $0 != 0x20 }.map { $0 | 0x20 } }
        if let scheme, scheme != Array("basic".utf8) { return nil }
        if scheme == nil, request.headers[.contentType] == nil { return nil }
        let form = try await FormBody(request)
        guard let claim = try ClaimedClient(form, request.headers), claim.secret != nil else {
            throw Rejection.missingToken
        }
        _ = try await clients.authenticate(claim)
        return form
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
