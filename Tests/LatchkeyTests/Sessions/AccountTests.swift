import JOSE
import Latchkey
import LatchkeyTesting
import Testing

@Suite("One's own account")
struct AccountTests {
    @Test("lists its live sessions in the order of their birth, the present one marked, page by page")
    func lists() async throws {
        try await TestInstallation.run { it in
            let sessions = [
                try await it.node.newUser("alice"), try await it.node.logIn("alice"), try await it.node.logIn("alice"),
            ]
            _ = try await it.node.newUser("bob")
            let list = try await it.node.get("/account/sessions", bearer: sessions[1].access)
            #expect(list.status == 200)
            #expect(list.header("cache-control") == "no-store")
            let items = try #require(list.json["items"]?.array).map { try #require($0.object) }
            #expect(items.map { $0["sid"]?.string } == (try sessions.map { try $0.sid.text }).sorted())
            for item in items {
                #expect(item["current"]?.bool == (item["sid"]?.string == (try sessions[1].sid.text)))
                #expect(item["rid"] == nil)
            }

            var seen: [String] = []
            var cursor = ""
            repeat {
                let page = try await it.node.get("/account/sessions?limit=2\(cursor)", bearer: sessions[0].access)
                seen += try #require(page.json["items"]?.array).compactMap { $0.object?["sid"]?.string }
                cursor = page.json["next"]?.string.map { "&after=\($0)" } ?? ""
            } while !cursor.isEmpty && seen.count < 10
            #expect(seen == items.map { $0["sid"]?.string })

            #expect(
                try await it.node.delete("/account/sessions/\(sessions[0].sid.text)", bearer: sessions[1].access).status
                    == 204)
            let rest = try await it.node.get("/account/sessions", bearer: sessions[1].access)
            #expect(rest.json["items"]?.array?.count == 2)
        }
    }

    @Test("refuses pages that are none", arguments: ["limit=0", "limit=1001", "limit=+5", "limit=x", "after=x"])
    func pages(query: String) async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            let answer = try await it.node.get("/account/sessions?\(query)", bearer: tokens.access)
            #expect(answer.status == 422)
            #expect(answer["code"] == "invalid-field")
        }
    }

    @Test("cannot end another's session, nor tell whether there is one")
    func notAnothers() async throws {
        try await TestInstallation.run { it in
            let alice = try await it.node.newUser("alice")
            let mallory = try await it.node.newUser("mallory")
            let theirs = try await it.node.delete("/account/sessions/\(alice.sid.text)", bearer: mallory.access)
            let nobodys = try await it.node.delete(
                "/account/sessions/01900000-0000-7000-8000-000000000000", bearer: mallory.access)
            #expect(theirs.status == 404)
            #expect(theirs.body == nobodys.body)
            #expect(try await it.row(alice).isLive)
            #expect(try await it.listed() == 0)
            #expect(try await it.node.admits(alice))
        }
    }

    @Test("changes its password: the present session stays, the others end, the old password is refused")
    func changesPassword() async throws {
        try await TestInstallation.run { it in
            let present = try await it.node.newUser("alice")
            let other = try await it.node.logIn("alice")
            let changed = try await change(it.node, present, "correct horse", "battery staple")
            #expect(changed.status == 204)
            #expect(try await it.node.admits(present))
            #expect(try await it.node.refresh(present.refresh).status == 200)
            #expect(try await it.node.admits(other) == false)
            #expect(try await it.row(other).cause == "password-changed")
            #expect(try await it.node.logIn("alice").status == 401)
            #expect(try await it.node.logIn("alice", "battery staple").status == 200)
        }
    }

    static let refusals: [(JSONValue, Int, String)] = [
        (["current": "wrong horse", "new": "battery staple"], 401, "invalid-credentials"),
        (["current": "correct horse", "new": "short"], 422, "password-too-weak"),
        (["current": "correct horse"], 400, "missing-field"),
        (["new": "battery staple"], 400, "missing-field"),
        (["current": 1, "new": "battery staple"], 400, "wrong-type"),
    ]

    @Test("keeps its password and its sessions where the change is refused")
    func keepsPassword() async throws {
        try await TestInstallation.run { it in
            let present = try await it.node.newUser("alice")
            let other = try await it.node.logIn("alice")
            for (body, status, code) in Self.refusals {
                let answer = try await it.node.post("/account/password", body, bearer: present.access)
                #expect(answer.status == status)
                #expect(answer["code"] == code)
            }
            #expect(try await it.node.admits(other))
            #expect(try await it.listed() == 0)
            #expect(try await it.node.logIn("alice").status == 200)
        }
    }

    @Test("changes its password once where two change it at the same time")
    func raceOfTwo() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            for round in 0..<10 {
                let name = "alice\(round)"
                let first = try await it.node.newUser(name)
                let second = try await it.node.logIn(name)
                async let one = change(it.nodes[0], first, "correct horse", "battery staple")
                async let two = change(it.nodes[1], second, "correct horse", "hunter22hunter")
                let statuses = [try await one.status, try await two.status]
                #expect(statuses.sorted() == [204, 401])
                let logIns = [
                    try await it.node.logIn(name, "battery staple").status,
                    try await it.node.logIn(name, "hunter22hunter").status,
                ]
                #expect(logIns == (statuses[0] == 204 ? [200, 401] : [401, 200]))
                // The winner's session stays; the loser's is another session of that user.
                #expect(try await it.row(statuses[0] == 204 ? first : second).isLive)
                #expect(try await it.row(statuses[0] == 204 ? second : first).isLive == false)
            }
        }
    }

    private func change(
        _ node: TestNode, _ tokens: TestNode.Answer, _ current: String, _ new: String
    ) async throws -> TestNode.Answer {
        try await node.post(
            "/account/password", ["current": .string(current), "new": .string(new)], bearer: tokens.access)
    }
}
