import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("Ending a session")
struct EndingTests {
    @Test("ends it everywhere: listed, audited, no access, no refresh", arguments: Ending.allCases)
    func ends(ending: Ending) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await Ending.administrator(it)
            let scene = try await Ending.scene(it, administrator: administrator)
            let victim = scene.victim
            for node in it.nodes { #expect(try await node.admits(victim)) }
            let (sid, userID) = (try victim.sid, try victim.userID)

            let answer = try await ending.perform(scene, on: it.node)
            #expect(answer.status == (ending.actor == .anonymous ? 200 : 204))
            #expect(answer.body.isEmpty)
            #expect(answer.header("cache-control") == "no-store")

            // This node at once.
            #expect(try await it.node.admits(victim) == false)
            it.expectInvalidGrant(try await it.node.refresh(victim.refresh))
            it.expectInvalidGrant(try await it.node.refresh(scene.oldRefreshToken))
            // The row, which every node asks, at once; the other node's list soon.
            it.expectInvalidGrant(try await it.nodes[1].refresh(victim.refresh))
            #expect(try await becomesTrue { try await it.nodes[1].admits(victim) == false })

            let row = try await it.row(victim)
            #expect(row.cause == ending.cause)
            #expect(try await it.listed(sid) == 1)
            let position = try #require(answer.header("latchkey-position")).split(separator: ".")
            let head = try await it.database.query("SELECT epoch, seq FROM feed_head").one()
            #expect(String(position[0]) == (try head.decode("epoch", as: UniqueID.self).text))
            #expect(Int64(position[1]) == (try head.decode("seq")))

            #expect(try await it.audited("session.revoked", "session:\(sid.text)") == 1)
            if let event = ending.event(userID: userID) {
                #expect(try await it.audited(event.action, event.target) == 1)
            }
            let audit = try await it.database.query(
                """
                SELECT actor, address, request_id, detail FROM audit_events
                WHERE action = 'session.revoked' AND target = \("session:\(sid.text)")
                """
            ).one()
            let actor: String = try audit.decode("actor")
            switch ending.actor {
            case .owner: #expect(actor == "user:\(userID)")
            case .anonymous: #expect(actor == "anonymous")
            case .administrator: #expect(actor.hasPrefix("user:") && actor != "user:\(userID)")
            }
            #expect(try audit.decode("address", as: String.self) == "127.0.0.1")
            #expect(try audit.decode("request_id", as: String.self) == answer.header("x-request-id"))
        }
    }

    /// What of the others stays.
    @Test("spares whom it does not concern", arguments: Ending.allCases)
    func spares(ending: Ending) async throws {
        try await TestInstallation.run { it in
            let administrator = try await Ending.administrator(it)
            let scene = try await Ending.scene(it, administrator: administrator)
            let stranger = try await it.node.newUser("bob")
            _ = try await ending.perform(scene, on: it.node)

            let endsElsewhere: Bool
            switch ending {
            case .logOut, .deleteOwn, .revokeByRefreshToken, .revokeByOldRefreshToken, .administratorDeletesSession,
                .administratorRevokesSession, .administratorRevokesByRefreshToken, .changePassword:
                endsElsewhere = false
            default: endsElsewhere = true
            }
            #expect(try await it.node.admits(scene.elsewhere) != endsElsewhere)
            let endsAll = ending == .administratorRevokesAll || ending == .administratorRevokesClient
            #expect(try await it.node.admits(stranger) != endsAll)
            #expect(try await it.node.refresh(stranger.refresh).status == (endsAll ? 400 : 200))

            // Whoever may log in again is a new session and lives, in the same second too.
            let password: String
            switch ending {
            case .changePassword, .administratorSetsPassword: password = "battery staple"
            default: password = "correct horse"
            }
            let again = try await it.node.logIn("alice", password)
            if ending == .administratorDisables || ending == .administratorDeletes {
                #expect(again.status == 401)
                #expect(again["code"] == "invalid-credentials")
            } else {
                #expect(again.status == 200)
                #expect(try await it.node.admits(again))
                let lostScope = [.roleTaken, .roleNarrowed, .roleDeleted].contains(ending)
                #expect(again["scope"].contains("things:read") != lostScope)
            }
        }
    }

    @Test(
        "a second time changes nothing and is answered as the first",
        arguments: [
            Ending.revokeByRefreshToken, .revokeByOldRefreshToken, .deleteOwn, .administratorDeletesSession,
            .administratorRevokesSession, .administratorRevokesByRefreshToken, .administratorRevokesUser,
            .administratorDisables,
        ])
    func twice(ending: Ending) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await Ending.administrator(it)
            let scene = try await Ending.scene(it, administrator: administrator)
            let first = try await ending.perform(scene, on: it.node)
            let row = try await it.row(scene.victim)
            let length = try await it.listed()
            for node in it.nodes {
                let second = try await ending.perform(scene, on: node)
                #expect(second.status == first.status)
                #expect(second.header("latchkey-position") == first.header("latchkey-position"))
            }
            #expect(try await it.row(scene.victim) == row)
            #expect(try await it.listed() == length)
        }
    }

    @Test("by deleting the user forgets the account, and leaves the name to whoever takes it")
    func deletedUser() async throws {
        try await TestInstallation.run { it in
            let administrator = try await Ending.administrator(it)
            let scene = try await Ending.scene(it, administrator: administrator)
            _ = try await it.node.newUser("bob")
            let path = "/admin/users/alice"
            #expect(try await it.node.delete(path, bearer: scene.victim.access).status == 403)
            #expect(try await it.node.get(path, bearer: administrator).status == 200)
            #expect(try await it.node.delete(path, bearer: administrator).status == 204)
            #expect(try await it.node.get(path, bearer: administrator).status == 404)
            #expect(try await it.node.delete(path, bearer: administrator).status == 404)
            let users = try await it.node.get("/admin/users", bearer: administrator)
            #expect(users.json["items"]?.array?.contains { $0.object?["username"] == "alice" } == false)

            let id = try scene.victim.userID
            let impostor: JSONValue = ["username": .string(id), "password": "correct horse"]
            #expect(try await it.node.post("/auth/register", impostor)["code"] == "username-invalid")
            // One who bears it all the same, from before that was refused, is not met by it.
            try await it.database.query("UPDATE users SET username = \(id) WHERE username = 'bob'")
            #expect(try await it.node.get("/admin/users/\(id)", bearer: administrator).status == 404)

            let other = try await it.node.newUser("alice")
            #expect(try other.userID != scene.victim.userID)
            #expect(!other["scope"].contains("things:read"))
            #expect(try await it.node.admits(scene.victim) == false)
            it.expectInvalidGrant(try await it.node.refresh(scene.elsewhere.refresh))
        }
    }

    @Test("by logging out works once: the token that asks for it is refused afterwards")
    func logOutTwice() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.post("/auth/logout", bearer: tokens.access).status == 204)
            #expect(try await it.node.post("/auth/logout", bearer: tokens.access).status == 401)
            #expect(try await it.node.post("/auth/logout").status == 401)
            #expect(try await it.listed() == 1)
        }
    }

    @Test("by logging out revokes the token alone where the session has no row any more")
    func logOutOfNothing() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let (tokens, others) = (try await it.node.newUser("alice"), try await it.node.newUser("bob"))
            try await it.database.query("DELETE FROM sessions WHERE sid = \(try tokens.sid)")
            let answer = try await it.node.post("/auth/logout", bearer: tokens.access)
            #expect(answer.status == 204)
            #expect(answer.header("latchkey-position") != nil)
            #expect(try await it.node.admits(tokens) == false)
            #expect(try await becomesTrue { try await it.nodes[1].admits(tokens) == false })
            #expect(try await it.listed(tokens.tokenID) == 1)
            #expect(try await it.audited("token.revoked", "token:\(tokens.tokenID.text)") == 1)
            #expect(try await it.node.admits(others))
        }
    }

    @Test("by a role that only gains a scope does not happen: it shows at the next refresh")
    func roleWidened() async throws {
        try await TestInstallation.run { it in
            let administrator = try await Ending.administrator(it)
            let scene = try await Ending.scene(it, administrator: administrator)
            let answer = try await it.node.put(
                "/admin/roles/reader", ["scopes": ["things:read", "things:list", "things:write"]], bearer: administrator
            )
            #expect(answer.status == 204)
            #expect(try await it.node.admits(scene.victim))
            #expect(try await it.row(scene.victim).isLive)
            #expect(try await it.listed() == 0)
            let next = try await it.node.refresh(scene.victim.refresh)
            #expect(next["scope"].contains("things:write"))
        }
    }

    @Test("of a disabled account leaves it enabled again without its sessions")
    func enabledAgain() async throws {
        try await TestInstallation.run { it in
            let administrator = try await Ending.administrator(it)
            let scene = try await Ending.scene(it, administrator: administrator)
            _ = try await Ending.administratorDisables.perform(scene, on: it.node)
            #expect(try await it.node.post("/admin/users/alice/enable", bearer: administrator).status == 204)
            #expect(try await it.node.admits(scene.victim) == false)
            it.expectInvalidGrant(try await it.node.refresh(scene.victim.refresh))
            #expect(try await it.node.logIn("alice").status == 200)
        }
    }

    static let missing: [(String, String)] = [
        ("DELETE", "/admin/sessions/00000000-0000-7000-8000-000000000000"), ("DELETE", "/admin/sessions/nonsense"),
        ("POST", "/admin/users/nobody/disable"), ("DELETE", "/admin/users/nobody/roles/reader"),
        ("DELETE", "/admin/users/root/roles/reader"), ("DELETE", "/admin/users/root/roles/nothing"),
        ("DELETE", "/admin/roles/nothing"), ("PUT", "/admin/roles/nothing"),
    ]

    @Test("of what there is not is 404 and changes nothing")
    func notThere() async throws {
        try await TestInstallation.run { it in
            let administrator = try await Ending.administrator(it)
            for (method, path) in Self.missing {
                let answer =
                    switch method {
                    case "DELETE": try await it.node.delete(path, bearer: administrator)
                    case "PUT": try await it.node.put(path, ["scopes": []], bearer: administrator)
                    default: try await it.node.post(path, bearer: administrator)
                    }
                #expect(answer.status == 404, "\(method) \(path)")
                #expect(answer["code"] == "not-found", "\(method) \(path)")
            }
            for (name, value) in [("user", "nobody"), ("session", "nonsense"), ("client", "nobody")] {
                let body: JSONValue = .object(JSONObject([(name, .string(value)), ("reason", "x")]))
                let answer = try await it.node.post("/admin/revocations", body, bearer: administrator)
                #expect(answer.status == 404, "\(name)")
            }
            #expect(try await it.listed() == 0)
        }
    }
}
