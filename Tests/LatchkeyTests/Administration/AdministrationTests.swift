import JOSE
import Latchkey
import LatchkeyTesting
import Testing

@Suite("Administration")
struct AdministrationTests {
    private func names(_ answer: TestNode.Answer, _ member: String) -> [String] {
        (answer.json["items"]?.array ?? []).compactMap { $0.object?[member]?.string }
    }

    @Test("makes, finds and lists users, by name and by id, page by page")
    func users() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            var ids: [String: String] = [:]
            for name in ["carol", "alice", "bob"] {
                let made = try await it.node.post("/admin/users", ["username": .string(name)], bearer: administrator)
                #expect(made.status == 201)
                #expect(made.header("location") == "/admin/users/\(made["id"])")
                ids[name] = made["id"]
                // Without a password no password opens it.
                #expect(try await it.node.logIn(name).status == 401)
            }
            var seen: [String] = []
            var cursor = ""
            repeat {
                let page = try await it.node.get("/admin/users?limit=2\(cursor)", bearer: administrator)
                #expect(page.header("cache-control") == "no-store")
                seen += names(page, "username")
                cursor = page.json["next"]?.string.map { "&after=\($0)" } ?? ""
            } while !cursor.isEmpty && seen.count < 20
            #expect(seen == ["alice", "bob", "carol", "root"])
            for (name, id) in ids {
                for path in [name, id, name.uppercased()] {
                    let user = try await it.node.get("/admin/users/\(path)", bearer: administrator)
                    #expect(user["id"] == id)
                    #expect(user.json["phc"] == nil)
                }
            }
            let again = try await it.node.post("/admin/users", ["username": "ALICE"], bearer: administrator)
            #expect(again.status == 409)
            #expect(again["code"] == "username-taken")
        }
    }

    static let wrongRoles: [(JSONValue, Int, String)] = [
        (["name": "admin", "scopes": []], 409, "role-exists"),
        (["name": "UPPER", "scopes": []], 422, "invalid-field"),
        (["name": "", "scopes": []], 422, "invalid-field"),
        (["name": "reader", "scopes": ["two words"]], 422, "invalid-field"),
        (["name": "reader", "scopes": ["quo\"te"]], 422, "invalid-field"),
        (["name": "reader", "scopes": [""]], 422, "invalid-field"),
        (["name": "reader", "scopes": "things:read"], 400, "wrong-type"),
        (["name": "reader"], 400, "missing-field"),
        (["scopes": []], 400, "missing-field"),
    ]

    @Test("refuses roles that are none")
    func wrongRoles() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            for (body, status, code) in Self.wrongRoles {
                let answer = try await it.node.post("/admin/roles", body, bearer: administrator)
                #expect(answer.status == status, "\(body)")
                #expect(answer["code"] == code, "\(body)")
            }
            #expect(names(try await it.node.get("/admin/roles", bearer: administrator), "name") == ["admin"])
        }
    }

    @Test("grants a role once, and only one that there is to somebody who is there")
    func grants() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            _ = try await it.node.newUser("alice")
            for (path, status) in [
                ("alice/roles/admin", 204), ("alice/roles/admin", 204), ("alice/roles/nothing", 404),
                ("nobody/roles/admin", 404),
            ] {
                #expect(
                    try await it.node.put("/admin/users/\(path)", bearer: administrator).status == status, "\(path)")
            }
            let user = try await it.node.get("/admin/users/alice", bearer: administrator)
            #expect(user.json["roles"] == ["admin"])
        }
    }

    static let wrongRevocations: [(JSONValue, Int, String)] = [
        ([:], 400, "invalid-request"), (["reason": "x"], 400, "invalid-request"),
        (["user": "alice"], 400, "missing-field"),
        (["user": "alice", "all": true, "reason": "x"], 400, "invalid-request"),
        (["all": false, "reason": "x"], 400, "invalid-request"),
        (["all": "true", "reason": "x"], 400, "wrong-type"),
        (["user": 1, "reason": "x"], 400, "wrong-type"),
    ]

    @Test("revokes one thing at a time, with a reason")
    func wrongRevocations() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let alice = try await it.node.newUser("alice")
            for (body, status, code) in Self.wrongRevocations {
                let answer = try await it.node.post("/admin/revocations", body, bearer: administrator)
                #expect(answer.status == status, "\(body)")
                #expect(answer["code"] == code, "\(body)")
            }
            #expect(try await it.row(alice).isLive)
            #expect(try await it.listed() == 0)
        }
    }

    @Test("reads the audit log newest first, by actor, target and time, page by page")
    func audit() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let alice = try await it.node.newUser("alice")
            _ = try await it.node.post("/admin/users/alice/disable", ["reason": "a test"], bearer: administrator)
            let id = try alice.userID

            func audit(_ query: String) async throws -> TestNode.Answer {
                try await it.node.get("/admin/audit?\(query)", bearer: administrator)
            }
            let ofAlice = try await audit("target=user:\(id)")
            #expect(names(ofAlice, "action") == ["user.disabled", "user.registered"])
            let first = try #require(ofAlice.json["items"]?.array?.first?.object)
            #expect(first["detail"] == ["reason": "a test"])
            #expect(first["actor"]?.string?.hasPrefix("user:") == true)
            #expect(first["address"] == "127.0.0.1")
            #expect(first["request_id"]?.string?.isEmpty == false)
            let ended = try await audit("target=session:\(alice.sid.text)")
            #expect(names(ended, "action") == ["session.revoked"])
            #expect(names(try await audit("actor=node"), "action") == ["master-key.in-use", "key.founded"])
            #expect(names(try await audit("since=2999-01-01T00:00:00Z"), "action") == [])

            let everything = names(try await audit("limit=1000"), "action")
            var seen: [String] = []
            var cursor = ""
            repeat {
                let page = try await audit("limit=2\(cursor)")
                seen += names(page, "action")
                cursor = page.json["next"]?.string.map { "&after=\($0)" } ?? ""
            } while !cursor.isEmpty && seen.count < 100
            #expect(seen == everything)
            for query in ["since=yesterday", "after=x", "after=-1", "limit=0"] {
                #expect(try await audit(query).status == 422, "\(query)")
            }
        }
    }
}
