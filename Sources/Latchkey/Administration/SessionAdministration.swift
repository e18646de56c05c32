package import Hummingbird
import JOSE
import LatchkeyHummingbird
import Postgres

/// `/admin/sessions…` and `/admin/revocations`.
package struct SessionAdministration: Sendable {
    private let sessions: Sessions
    private let users: Users
    private let tokens: TokenRevocation

    package init(_ sessions: Sessions, users: Users, tokens: TokenRevocation) {
        self.sessions = sessions
        self.users = users
        self.tokens = tokens
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/sessions/{sid}") { _, context in
            try context.require(scope: "sessions:read")
            guard let sid = UniqueID(text: context.parameters.get("sid") ?? ""),
                let session = try await sessions.session(sid)
            else { throw Rejection.notFound(what: "session") }
            return Response.json(session.json(), caching: .noStore)
        }
        router.delete("/admin/sessions/{sid}") { _, context in
            try context.require(scope: "sessions:revoke")
            let position = try await revoke(
                .session(context.parameters.get("sid") ?? ""), reason: nil, origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
        router.get("/admin/revocations") { request, context in
            try context.require(scope: "sessions:read")
            let page = try Page(request)
            let part = try await sessions.revocations.listed(
                before: try page.afterNumber(), kind: try Self.kind(request), limit: page.limit)
            return Response.page(part.entries.map(\.json), next: part.next.map { String($0) })
        }
        router.post("/admin/revocations") { request, context in
            try context.require(scope: "sessions:revoke")
            let body = try await JSONBody(request)
            let position = try await revoke(
                try Target(body), reason: try body.string("reason"), origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
    }

    private static func kind(_ request: Request) throws(Rejection) -> ListedEntry.Kind? {
        guard let word = request.uri.queryParameters["kind"] else { return nil }
        guard let kind = ListedEntry.Kind(rawValue: String(word)) else {
            throw .invalidField("kind", reason: "It is jti, sid or kid.")
        }
        return kind
    }

    /// What is to be revoked.
    package enum Target: Sendable {
        case token(String)
        case session(String)
        case user(String)
        case client(String)
        case all

        init(_ body: JSONBody) throws {
            var targets: [Target] = []
            if let token = try body.optionalString("token") { targets.append(.token(token)) }
            if let sid = try body.optionalString("session") { targets.append(.session(sid)) }
            if let user = try body.optionalString("user") { targets.append(.user(user)) }
            if let client = try body.optionalString("client") { targets.append(.client(client)) }
            if try body.optionalBool("all") == true { targets.append(.all) }
            guard targets.count == 1 else {
                throw Rejection.invalidRequest(
                    description: "Name one of token, session, user, client, or \"all\": true.")
            }
            self = targets[0]
        }
    }

    /// The same for the command line.
    package func revoke(_ target: Target, reason: String?, origin: Origin) async throws -> FeedPosition? {
        switch target {
        case .token(let token):
            return try await tokens.revoke(token, of: nil, reason: reason, origin: origin)
        case .session(let text):
            guard let sid = UniqueID(text: text),
                let position = try await sessions.end(sid, of: nil, cause: .revoked, reason: reason, origin: origin)
            else { throw Rejection.notFound(what: "session") }
            return position
        case .user(let name):
            return try await sessions.revokeAll(of: try await users.find(name).id, reason: reason, origin: origin)
        case .client(let id):
            return try await sessions.revokeAll(ofClient: id, reason: reason, origin: origin)
        case .all:
            return try await sessions.revokeAll(reason: reason, origin: origin)
        }
    }
}

extension ListedEntry {
    fileprivate var json: JSONValue {
        .object(
            JSONObject([
                ("kind", .string(kind.rawValue)), ("id", .string(id)),
                ("expires_at", expiresAt.map { .string(RFC3339.text(microseconds: $0.microseconds)) }),
                ("revoked_at", revokedAt.map { .string(RFC3339.text(microseconds: $0.microseconds)) }),
            ]))
    }
}
