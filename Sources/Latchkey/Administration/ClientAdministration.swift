package import Hummingbird
package import JOSE
import LatchkeyHummingbird
import LatchkeyVerifier
import LibCrypto
import Postgres

/// `/admin/clients…`: registering and changing OAuth clients, in the names of RFC 7591.
package struct ClientAdministration: Sendable {
    private let clients: Clients
    private let sessions: Sessions
    private let idempotency: Idempotency

    package init(_ clients: Clients, sessions: Sessions, idempotency: Idempotency) {
        self.clients = clients
        self.sessions = sessions
        self.idempotency = idempotency
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/clients") { request, context in
            try context.require(scope: "clients:read")
            let page = try Page(request)
            let list = try await clients.list(after: page.after ?? "", limit: page.limit + 1)
            return page.response(list, json: { $0.json() }, cursor: \.id)
        }
        router.get("/admin/clients/{client}") { _, context in
            try context.require(scope: "clients:read")
            return Response.json(
                try await clients.find(try context.pathParameter("client")).json(), caching: .noStore)
        }
        router.post("/admin/clients") { request, context in
            let bearer = try context.require(scope: "clients:write")
            let body = try await JSONBody(request)
            return try await idempotency.answer(
                to: request, body, from: context.origin.actor, route: "POST /admin/clients"
            ) { (made: Clients.Created) in
                CreatedAnswer(made.client.json(secret: made.secret), location: "/admin/clients/\(made.client.id)")
            } _: { once in
                try await clients.create(
                    try ClientRequest(body), by: .bearer(scopes: bearer.scopes), origin: context.origin, once: once)
            }
        }
        addChanging(to: router)
    }

    private func addChanging(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.patch("/admin/clients/{client}") { request, context in
            let bearer = try context.require(scope: "clients:write")
            let (client, position) = try await sessions.changeClient(
                try context.pathParameter("client"), try ClientRequest(try await JSONBody(request)),
                by: .bearer(scopes: bearer.scopes), origin: context.origin)
            return Response.json(client.json(), caching: .noStore).at(position)
        }
        router.post("/admin/clients/{client}/secret") { request, context in
            let bearer = try context.require(scope: "clients:write")
            let id = try context.pathParameter("client")
            let body = try await JSONBody.ifPresent(request)
            let seconds = try body?.optionalInteger("expire_old_after") ?? Sessions.oldSecretLife
            let secret = ClientSecret.random()
            var position: FeedPosition?
            var isShownFirst = false
            let answer = try await idempotency.answer(
                to: request, body, from: context.origin.actor, route: "POST /admin/clients/{client}/secret", target: id
            ) { (client: Client) in
                CreatedAnswer(client.json(secret: secret), location: nil)
            } _: { once in
                let rotated = try await sessions.rotateSecret(
                    of: id, to: clients.keys.hash(secret, for: id), oldLives: seconds,
                    by: .bearer(scopes: bearer.scopes), origin: context.origin, once: once)
                position = rotated.position
                isShownFirst = true
                return rotated.client
            }
            guard seconds == 0 else { return answer }
            // Told again, or by another node: what ended the first time is in this node's own set before it is answered. But
            // for want of a reading nobody loses sight of a secret that is shown this once.
            if position == nil {
                position = isShownFirst ? try? await sessions.readPosition() : try await sessions.readPosition()
            }
            return answer.at(position)
        }
        router.post("/admin/clients/{client}/disable") { request, context in
            try context.require(scope: "clients:write")
            let reason = try await JSONBody.ifPresent(request)?.optionalString("reason")
            let position = try await sessions.disableClient(
                try context.pathParameter("client"), reason: reason, origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
        router.post("/admin/clients/{client}/enable") { _, context in
            try context.require(scope: "clients:write")
            try await clients.enable(try context.pathParameter("client"), origin: context.origin)
            return Response.noContent(caching: .noStore)
        }
    }

    /// For the command line: the client with its new secret, which is shown here alone.
    ///
    /// - Parameter seconds: how long the old one lives.
    package func rotateSecret(of id: String, oldLives seconds: Int64, origin: Origin) async throws -> JSONValue {
        let secret = ClientSecret.random()
        return try await sessions.rotateSecret(
            of: id, to: clients.keys.hash(secret, for: id), oldLives: seconds, by: .everything, origin: origin
        ).client.json(secret: secret)
    }
}

extension ClientRequest {
    init(_ body: JSONBody) throws(Rejection) {
        self.init(
            name: try body.optionalString("client_name"), grantTypes: try body.optionalStringArray("grant_types"),
            authenticationMethod: try body.optionalString("token_endpoint_auth_method"),
            redirectURIs: try body.optionalStringArray("redirect_uris"), scope: try body.optionalString("scope"),
            accessTokenAlgorithm: try body.optionalString("access_token_signed_response_alg"))
    }
}

extension Client {
    /// RFC 7591 §3.2.1; times with its names are NumericDate.
    ///
    /// - Parameter secret: where it has just been made.
    package func json(secret: ClientSecret? = nil) -> JSONValue {
        func list(_ texts: [String]) -> JSONValue { .array(texts.map { .string($0) }) }
        return .object(
            JSONObject([
                ("client_id", .string(id)), ("client_secret", secret.map { .string($0.text) }),
                ("client_secret_expires_at", secret.map { _ in .integer(0) }),
                ("client_id_issued_at", .integer(createdAt.seconds)), ("client_name", .string(metadata.name)),
                ("grant_types", list(metadata.grantTypes.map(\.rawValue))),
                ("token_endpoint_auth_method", .string(metadata.authenticationMethod.rawValue)),
                ("redirect_uris", list(metadata.redirectURIs)),
                ("scope", .string(metadata.scopes.joined(separator: " "))),
                ("access_token_signed_response_alg", metadata.accessTokenAlgorithm.map { .string($0.rawValue) }),
                ("status", .string(isActive ? "active" : "disabled")),
                ("old_secret_until", oldSecretUntil.map { .string(RFC3339.text(microseconds: $0.microseconds)) }),
            ]))
    }
}
