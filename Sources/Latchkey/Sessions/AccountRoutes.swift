package import Hummingbird
package import JOSE
import LatchkeyHummingbird
import LatchkeyVerifier
import Postgres

/// `/account…`: the caller's own account and sessions. A bearer token with scope `account`.
package struct AccountRoutes: Sendable {
    private let sessions: Sessions
    private let users: Users

    package init(_ sessions: Sessions, users: Users) {
        self.sessions = sessions
        self.users = users
    }

    private func caller(_ context: LatchkeyRequestContext) throws -> (id: UserID, token: AccessToken) {
        let token = try context.require(scope: Sessions.accountScope)
        guard !token.isClients, let id = UniqueID(text: token.subject) else {
            throw Rejection.invalidToken(reason: "The token is not a user's.")
        }
        return (UserID(id), token)
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/account") { _, context in
            guard let user = try await users.user(try caller(context).id) else {
                throw Rejection.notFound(what: "user")
            }
            return Response.json(user.json, caching: .noStore)
        }
        router.get("/account/sessions") { request, context in
            let (id, token) = try caller(context)
            let page = try Page(request)
            let list = try await sessions.list(of: id, after: try page.afterID(), limit: page.limit + 1)
            return page.response(list, json: { $0.json(current: token.sessionUniqueID) }, cursor: { $0.sid.text })
        }
        router.delete("/account/sessions/{sid}") { _, context in
            let (id, _) = try caller(context)
            guard let sid = UniqueID(text: context.parameters.get("sid") ?? ""),
                let position = try await sessions.end(
                    sid, of: id, cause: .loggedOut, reason: nil, origin: context.origin)
            else { throw Rejection.notFound(what: "session") }
            return Response.noContent(caching: .noStore).at(position)
        }
        router.post("/account/password") { request, context in
            let (id, token) = try caller(context)
            let origin = context.origin
            return try await request.whileCallerWaits(on: context) { request in
                let body = try await JSONBody(request)
                let current = try Sessions.password(checking: try body.string("current"))
                let new = try RegistrationRoutes.newPassword(try body.string("new"))
                let position = try await sessions.changePassword(
                    of: id, current: current, new: new, keeping: token.sessionUniqueID,
                    deviceToken: try body.optionalString("device_token"), origin: origin)
                return Response.noContent(caching: .noStore).at(position)
            }
        }
    }
}

extension SessionSummary {
    package func json(current: UniqueID? = nil) -> JSONValue {
        func time(_ instant: Instant) -> JSONValue { .string(RFC3339.text(microseconds: instant.microseconds)) }
        return .object(
            JSONObject([
                ("sid", .string(sid.text)), ("user", .string(userID.text)), ("client_id", .string(clientID)),
                ("opened_at", time(openedAt)), ("refreshed_at", time(refreshedAt)), ("idle_until", time(idleUntil)),
                ("max_until", time(maxUntil)), ("current", current.map { .bool($0 == sid) }),
            ]))
    }
}
