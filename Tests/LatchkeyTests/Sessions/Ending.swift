import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Testing

/// Every way in which a session of `alice` ends by somebody's will. She holds the role `reader`.
enum Ending: String, CaseIterable, Sendable {
    case logOut, deleteOwn
    case revokeByRefreshToken, revokeByOldRefreshToken
    case changePassword
    case administratorDeletesSession, administratorRevokesSession, administratorRevokesByRefreshToken
    case administratorRevokesUser, administratorRevokesClient, administratorRevokesAll
    case administratorDisables, administratorDeletes, administratorSetsPassword
    case roleTaken, roleNarrowed, roleDeleted

    /// What stands in the session's row and in its audit row.
    var cause: String {
        switch self {
        case .logOut, .deleteOwn: "logged-out"
        case .changePassword, .administratorSetsPassword: "password-changed"
        case .administratorDisables: "user-disabled"
        case .administratorDeletes: "user-deleted"
        case .roleTaken, .roleNarrowed, .roleDeleted: "role-taken"
        case .revokeByRefreshToken, .revokeByOldRefreshToken, .administratorDeletesSession,
            .administratorRevokesSession,
            .administratorRevokesByRefreshToken, .administratorRevokesUser, .administratorRevokesClient,
            .administratorRevokesAll:
            "revoked"
        }
    }

    /// The audit row beside the session's own.
    func event(userID: String) -> (action: String, target: String)? {
        switch self {
        case .changePassword: ("user.password-changed", "user:\(userID)")
        case .administratorSetsPassword: ("user.password-set", "user:\(userID)")
        case .administratorDisables: ("user.disabled", "user:\(userID)")
        case .administratorDeletes: ("user.deleted", "user:\(userID)")
        case .administratorRevokesUser: ("sessions.revoked", "user:\(userID)")
        case .administratorRevokesClient: ("sessions.revoked", "client:first-party")
        case .administratorRevokesAll: ("sessions.revoked", "all")
        case .roleTaken: ("role.revoked", "user:\(userID)")
        case .roleNarrowed: ("role.changed", "role:reader")
        case .roleDeleted: ("role.deleted", "role:reader")
        default: nil
        }
    }

    var actor: Actor {
        switch self {
        case .logOut, .deleteOwn, .changePassword: .owner
        case .revokeByRefreshToken, .revokeByOldRefreshToken: .anonymous
        default: .administrator
        }
    }

    enum Actor { case owner, anonymous, administrator }

    /// What the ending needs to begin.
    struct Scene: Sendable {
        /// The session to end.
        let victim: TestNode.Answer
        /// A refresh token of the same session that was used before.
        let oldRefreshToken: String
        /// Another session of the same user.
        let elsewhere: TestNode.Answer
        let administrator: String
        var username = "alice"
        var password = "correct horse"
    }

    /// Registers the user with the role, and opens two sessions.
    static func scene(
        _ it: TestInstallation, administrator: String, username: String = "alice", role: String = "reader"
    ) async throws -> Scene {
        let registered = try await it.node.newUser(username)
        try #require(registered.status == 200)
        let put = try await it.node.put("/admin/users/\(username)/roles/\(role)", bearer: administrator)
        try #require(put.status == 204)
        let born = try await it.node.logIn(username)
        let victim = try await it.node.refresh(born.refresh)
        try #require(victim["scope"].contains("things:read"))
        return Scene(
            victim: victim, oldRefreshToken: born.refresh, elsewhere: registered, administrator: administrator,
            username: username)
    }

    /// Makes `reader`; returns an administrator's token.
    static func administrator(_ it: TestInstallation) async throws -> String {
        let administrator = try await it.node.administrator()
        let made = try await it.node.post(
            "/admin/roles", ["name": "reader", "scopes": ["things:read", "things:list"]], bearer: administrator)
        try #require(made.status == 201)
        return administrator
    }

    func perform(_ scene: Scene, on node: TestNode) async throws -> TestNode.Answer {
        let admin = scene.administrator
        let sid = try scene.victim.sid.text
        func revoke(_ name: String, _ value: JSONValue) async throws -> TestNode.Answer {
            let body: JSONValue = .object(JSONObject([(name, value), ("reason", "a test")]))
            return try await node.post("/admin/revocations", body, bearer: admin)
        }
        let user = "/admin/users/\(scene.username)"
        switch self {
        case .logOut: return try await node.post("/auth/logout", bearer: scene.victim.access)
        case .deleteOwn: return try await node.delete("/account/sessions/\(sid)", bearer: scene.elsewhere.access)
        case .revokeByRefreshToken: return try await node.revoke(scene.victim.refresh)
        case .revokeByOldRefreshToken: return try await node.revoke(scene.oldRefreshToken)
        case .changePassword:
            return try await node.post(
                "/account/password", ["current": .string(scene.password), "new": "battery staple"],
                bearer: scene.elsewhere.access)
        case .administratorDeletesSession: return try await node.delete("/admin/sessions/\(sid)", bearer: admin)
        case .administratorRevokesSession: return try await revoke("session", .string(sid))
        case .administratorRevokesByRefreshToken: return try await revoke("token", .string(scene.victim.refresh))
        case .administratorRevokesUser: return try await revoke("user", .string(scene.username))
        case .administratorRevokesClient: return try await revoke("client", "first-party")
        case .administratorRevokesAll: return try await revoke("all", true)
        case .administratorDisables: return try await node.post("\(user)/disable", bearer: admin)
        case .administratorDeletes: return try await node.delete(user, bearer: admin)
        case .administratorSetsPassword:
            return try await node.post("\(user)/password", ["new": "battery staple"], bearer: admin)
        case .roleTaken: return try await node.delete("\(user)/roles/reader", bearer: admin)
        case .roleNarrowed: return try await node.put("/admin/roles/reader", ["scopes": ["things:list"]], bearer: admin)
        case .roleDeleted: return try await node.delete("/admin/roles/reader", bearer: admin)
        }
    }
}
