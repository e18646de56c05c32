package import Hummingbird
package import JOSE
import LatchkeyHummingbird
import Postgres

/// `/admin/users…` and `/admin/roles…`: what the command line does, for bearers with the scope that each asks for.
package struct UserAdministration: Sendable {
    private let users: Users
    private let roles: Roles
    private let sessions: Sessions
    private let idempotency: Idempotency

    package init(users: Users, roles: Roles, sessions: Sessions, idempotency: Idempotency) {
        self.users = users
        self.roles = roles
        self.sessions = sessions
        self.idempotency = idempotency
    }

    private func user(_ context: LatchkeyRequestContext) async throws -> User {
        try await users.find(try context.pathParameter("user"))
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        addReading(to: router)
        addChanging(to: router)
        addRoles(to: router)
    }

    private func addReading(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/users") { request, context in
            try context.require(scope: "users:read")
            let page = try Page(request)
            let list = try await users.list(after: page.after ?? "", limit: page.limit + 1)
            return page.response(list, json: \.json, cursor: \.username)
        }
        router.get("/admin/users/{user}") { _, context in
            try context.require(scope: "users:read")
            return Response.json(try await user(context).json, caching: .noStore)
        }
        router.get("/admin/users/{user}/sessions") { request, context in
            try context.require(scope: "sessions:read")
            let page = try Page(request)
            let list = try await sessions.list(
                of: try await user(context).id, after: try page.afterID(), limit: page.limit + 1)
            return page.response(list, json: { $0.json() }, cursor: { $0.sid.text })
        }
    }

    private func addChanging(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.post("/admin/users") { request, context in
            try context.require(scope: "users:write")
            let body = try await JSONBody(request)
            return try await idempotency.answer(
                to: request, body, from: context.origin.actor, route: "POST /admin/users"
            ) { (user: User) in
                CreatedAnswer(user.json, location: "/admin/users/\(user.id.text)")
            } _: { once in
                try await RegistrationRoutes.register(
                    body, passwordIs: .optional, users, origin: context.origin, once: once)
            }
        }
        router.delete("/admin/users/{user}") { _, context in
            try context.require(scope: "users:write")
            let position = try await sessions.deleteUser(
                try context.pathParameter("user"), reason: nil, origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
        router.post("/admin/users/{user}/disable") { request, context in
            try context.require(scope: "users:write")
            let reason = try await JSONBody.ifPresent(request)?.optionalString("reason")
            let position = try await sessions.disable(
                try await user(context).id, reason: reason, origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
        router.post("/admin/users/{user}/enable") { _, context in
            try context.require(scope: "users:write")
            try await users.enable(try await user(context).id, origin: context.origin)
            return Response.noContent(caching: .noStore)
        }
        router.post("/admin/users/{user}/password") { request, context in
            try context.require(scope: "users:write")
            let password = try RegistrationRoutes.newPassword(try await JSONBody(request).string("new"))
            let position = try await sessions.setPassword(
                of: try await user(context).id, password, origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
        router.put("/admin/users/{user}/roles/{role}") { _, context in
            try context.require(scope: "users:write")
            try await users.grant(
                try context.pathParameter("role"), to: try await user(context).id, origin: context.origin)
            return Response.noContent(caching: .noStore)
        }
        router.delete("/admin/users/{user}/roles/{role}") { _, context in
            try context.require(scope: "users:write")
            let position = try await sessions.revokeRole(
                try context.pathParameter("role"), from: try await user(context).id, origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
    }

    private func addRoles(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/roles") { _, context in
            try context.require(scope: "users:read")
            return Response.page(try await roles.list().map(\.json), next: nil)
        }
        router.post("/admin/roles") { request, context in
            try context.require(scope: "users:write")
            let body = try await JSONBody(request)
            let (name, scopes) = (try body.string("name"), try body.stringArray("scopes"))
            return try await idempotency.answer(
                to: request, body, from: context.origin.actor, route: "POST /admin/roles"
            ) { (role: Role) in
                CreatedAnswer(role.json, location: "/admin/roles/\(role.name)")
            } _: { once in
                try await roles.create(name, scopes: scopes, origin: context.origin, once: once)
            }
        }
        router.put("/admin/roles/{role}") { request, context in
            try context.require(scope: "users:write")
            let scopes = try await JSONBody(request).stringArray("scopes")
            let position = try await sessions.setScopes(
                scopes, ofRole: try context.pathParameter("role"), origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
        router.delete("/admin/roles/{role}") { _, context in
            try context.require(scope: "users:write")
            let position = try await sessions.deleteRole(
                try context.pathParameter("role"), origin: context.origin)
            return Response.noContent(caching: .noStore).at(position)
        }
    }
}

extension Role {
    package var json: JSONValue {
        [
            "name": .string(name), "scopes": .array(scopes.map { .string($0) }), "holders": .integer(holders),
        ]
    }
}
