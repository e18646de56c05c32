import JOSE
import LatchkeyTesting
import Logging
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

/// Who fetches the keys, and how many tokens live under each.
@Suite struct KeyUseTests {
    private static let path = "/.well-known/jwks.json"

    private func fetch(
        _ node: TestNode, as field: String?, _ method: HTTPMethod = .GET
    ) async throws -> TestNode.Answer {
        try await node.send(method, Self.path, headers: field.map { [("latchkey-verifier", $0)] } ?? [])
    }

    private func report(_ name: String, _ kids: [String]) -> String {
        #"name="\#(name)", kids=(\#(kids.map { "\"\($0)\"" }.joined(separator: " ")))"#
    }

    private func keys(_ node: TestNode, _ bearer: String) async throws -> [JSONObject] {
        try #require(try await node.get("/admin/keys", bearer: bearer).json["items"]?.array).compactMap(\.object)
    }

    /// The signer first, then the standbys.
    private func kids(_ node: TestNode, _ bearer: String) async throws -> [String] {
        let keys = try await keys(node, bearer)
        return (keys.filter { $0["state"] == "active" } + keys.filter { $0["state"] == "published" })
            .compactMap { $0["kid"]?.string }
    }

    private func verifiers(_ node: TestNode, _ bearer: String) async throws -> [String: JSONObject] {
        let items = try await node.get("/admin/keys/verifiers", bearer: bearer).json["items"]?.array ?? []
        return Dictionary(
            uniqueKeysWithValues: items.compactMap(\.object).map { ($0["name"]?.string ?? "", $0) })
    }

    private func rotate(_ node: TestNode, _ bearer: String) async throws -> TestNode.Answer {
        try await node.post("/admin/keys/rotate", ["wait_for_verifiers": true], bearer: bearer)
    }

    @Test func `A verifier holds what it was served, or what it reports, and no key that does not stand there`()
        async throws
    {
        try await TestInstallation.run { it in
            let root = try await it.node.administrator()
            let kids = try await kids(it.node, root)
            #expect(kids.count == 3)
            #expect(try await fetch(it.node, as: #"name="orders""#).status == 200)
            var orders = try #require(try await verifiers(it.node, root)["orders"])
            #expect(Set(orders["kids"]?.strings ?? []) == Set(kids))
            #expect(orders["source"] == "answer")
            #expect(orders["fetches"] == 1)
            #expect(orders["seen_at"]?.string?.hasSuffix("Z") == true)
            for key in try await keys(it.node, root) { #expect(key["unknown_to"] == []) }

            #expect(try await fetch(it.node, as: report("orders", [kids[1], "made-up", kids[0]])).status == 200)
            #expect(try await fetch(it.node, as: report("billing", [])).status == 200)
            orders = try #require(try await verifiers(it.node, root)["orders"])
            #expect(Set(orders["kids"]?.strings ?? []) == Set(kids.prefix(2)))
            #expect(orders["source"] == "report")
            #expect(orders["fetches"] == 2)
            for key in try await keys(it.node, root) {
                let strangers: JSONValue = key["kid"] == .string(kids[2]) ? ["billing", "orders"] : ["billing"]
                #expect(key["unknown_to"] == strangers)
            }
        }
    }

    @Test func `Nameless fetches are counted as a total, HEAD not at all, and garbage is no name`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let root = try await it.node.administrator()
            #expect(try await it.node.get("/admin/keys/verifiers", bearer: root).json["unnamed"] == nil)
            let etag = try #require(try await fetch(it.node, as: nil).header("etag"))
            for field in VerifierReportTests.ignored where field.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
                #expect(try await fetch(it.node, as: field).status == 200)
            }
            for node in it.nodes { #expect(try await fetch(node, as: nil, .HEAD).status == 200) }
            #expect(try await fetch(it.nodes[1], as: #"name="head""#, .HEAD).status == 200)
            let conditional = [("if-none-match", etag), ("latchkey-verifier", #"name="orders""#)]
            #expect(try await it.nodes[1].send(.GET, Self.path, headers: conditional).status == 304)
            #expect(try await fetch(it.nodes[1], as: nil).status == 200)

            for node in it.nodes { try await node.installation.keyUse.flush() }
            let answer = try await it.node.get("/admin/keys/verifiers", bearer: root).json
            let garbage = VerifierReportTests.ignored.count { $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
            try #require(garbage > 10)
            #expect(answer["unnamed"]?.object?["fetches"] == .integer(Int64(garbage + 2)))
            #expect(try await verifiers(it.node, root).keys.sorted() == ["orders"])
        }
    }

    @Test func `Of two nodes' sightings the later holds, whichever is written first, and fetches add up`()
        async throws
    {
        try await TestInstallation.run { it in
            let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
            func use(at instant: Instant) -> KeyUse {
                let clock = NodeClock()
                clock.read(instant, at: .now())
                return KeyUse(
                    it.database, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
            let orders = try #require(VerifierReport(#"name="orders", kids=("old" "new")"#))
            let billing = try #require(VerifierReport(#"name="billing""#))
            let (early, late) = (use(at: now - 60), use(at: now))
            early.fetched(by: orders, served: ["old"])
            early.fetched(by: billing, served: ["old"])
            early.fetched(by: billing, served: ["old"])
            late.fetched(by: orders, served: ["old", "new"])
            late.fetched(by: billing, served: ["old", "new"])
            try await late.flush()
            try await early.flush()
            let overview = try await early.overview()
            #expect(overview.verifiers.map(\.name) == ["billing", "orders"])
            #expect(overview.verifiers.map(\.fetches) == [3, 2])
            #expect(overview.verifiers.map(\.kids) == [["old", "new"], ["old", "new"]])
            #expect(overview.verifiers.map(\.source) == [.answer, .report])
            #expect(overview.verifiers.allSatisfy { $0.seenAt >= now })
        }
    }

    @Test func `However many names come, a thousand are remembered, the latest`() async throws {
        try await TestInstallation.run { it in
            let use = it.node.installation.keyUse
            func see(_ names: some Sequence<Int>) throws {
                for number in names {
                    let report = try #require(VerifierReport(#"name="v\#(number)""#))
                    use.fetched(by: report, served: [])
                }
            }
            try see(0..<2600)
            try await use.flush()
            func count() async throws -> Int64 {
                try await it.database.query("SELECT count(*) AS count FROM verifiers WHERE name <> ''").one().decode(
                    "count")
            }
            #expect((500...1000).contains(try await count()))
            #expect(try await use.overview().verifiers.contains { $0.name == "v2599" })
            try see(3000..<3900)
            try await use.flush()
            #expect(try await count() == 1000)
            let names = try await use.overview().verifiers.map(\.name)
            for number in 3000..<3900 { #expect(names.contains("v\(number)")) }

            try await it.database.query(
                "UPDATE verifiers SET seen_at = seen_at - interval '31 days' WHERE name < 'v35'")
            use.fetched(by: nil, served: [])
            try await use.flush()
            #expect(try await use.overview().verifiers.allSatisfy { $0.name >= "v35" })
        }
    }

    @Test func `Tokens alive are those minted under the key within a lifetime, by whichever node`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let root = try await it.node.administrator()
            func alive() async throws -> [JSONValue?] {
                for node in it.nodes { try await node.installation.keyUse.flush() }
                return try await keys(it.node, root).filter { $0["state"] != "published" }.map { $0["tokens_alive"] }
            }
            #expect(try await alive() == [1])
            let tokens = try await it.node.newUser("alice")
            _ = try await it.nodes[1].logIn("alice")
            _ = try await it.nodes[1].refresh(tokens.refresh)
            #expect(try await alive() == [4])
            _ = try await it.node.logIn("alice", "wrong")
            _ = try await it.node.refresh("lkr1.forged")
            #expect(try await alive() == [4])
            // A standby has none to show.
            let standby = try await keys(it.node, root).filter { $0["state"] == "published" }
            #expect(standby.allSatisfy { $0["tokens_alive"] == nil })

            // The minute counts until the last second of it is a lifetime ago.
            func age(_ seconds: Int64) async throws {
                try await it.database.query(
                    "UPDATE minted_tokens SET minute = clock_timestamp() - \(seconds) * interval '1 second'")
            }
            let lifetime = it.settings.accessTokenTTL
            // The minute may have changed between them.
            try await it.database.query(
                """
                WITH counted AS (DELETE FROM minted_tokens RETURNING kid, count)
                INSERT INTO minted_tokens (kid, minute, count)
                SELECT kid, clock_timestamp(), sum(count) FROM counted GROUP BY kid
                """)
            try await age(lifetime + 50)
            #expect(try await alive() == [4])
            try await age(lifetime + 61)
            #expect(try await alive() == [0])
        }
    }

    @Test func `What the database did not take is kept and written later, once`() async throws {
        try await TestInstallation.run { it in
            let use = it.node.installation.keyUse
            try await use.flush()
            let report = try #require(VerifierReport(#"name="orders""#))
            use.fetched(by: report, served: ["k"])
            use.fetched(by: nil, served: ["k"])
            let now = try #require(it.node.installation.clock.now())
            use.minted(under: "k", at: now)
            try await it.database.query("ALTER TABLE minted_tokens RENAME TO away")
            await #expect(throws: PostgresError.self) { try await use.flush() }
            use.fetched(by: report, served: ["k", "l"])
            use.minted(under: "k", at: now)
            try await it.database.query("ALTER TABLE away RENAME TO minted_tokens")
            #expect(
                await becomesTrue {
                    // The statement that was prepared before the table was renamed fails once more.
                    (try? await use.flush()) != nil
                })
            let overview = try await use.overview()
            #expect(overview.verifiers.map(\.fetches) == [2])
            #expect(overview.verifiers.map(\.kids) == [["k", "l"]])
            #expect(overview.unnamed?.fetches == 1)
            let minted: Int64 = try await it.database.query(
                "SELECT coalesce(sum(count), 0)::bigint AS count FROM minted_tokens WHERE kid = 'k'"
            ).one().decode("count")
            #expect(minted == 2)
        }
    }

    @Test func `A node that stops writes what it has counted`() async throws {
        try await TestInstallation.run { it in
            let second = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            #expect(try await fetch(second, as: #"name="orders""#).status == 200)
            await second.stop()
            #expect(try await it.node.installation.keyUse.overview().verifiers.map(\.name) == ["orders"])
        }
    }

    @Test func `A rotation told to wait is refused until every verifier of the day holds the next key`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let root = try await it.node.administrator()
            let kids = try await kids(it.node, root)
            for node in it.nodes { #expect(try await fetch(node, as: nil).status == 200) }
            _ = try await fetch(it.node, as: report("orders", [kids[0]]))
            _ = try await fetch(it.node, as: report("billing", kids))
            _ = try await fetch(it.node, as: report("dead", []))
            let refused = try await rotate(it.node, root)
            #expect(refused.status == 409)
            #expect(refused["code"] == "verifiers-not-ready")
            #expect(refused.json["verifiers"] == ["dead", "orders"])
            let next = refused["kid"]
            #expect(kids.dropFirst().contains(next))
            #expect(try await it.audited("key.rotated", "key:\(next)") == 0)

            try await it.database.query(
                "UPDATE verifiers SET seen_at = seen_at - interval '24 hours 1 second' WHERE name = 'dead'")
            #expect(try await rotate(it.node, root).json["verifiers"] == ["orders"])
            // What another node has seen counts once that node has written it.
            _ = try await fetch(it.nodes[1], as: report("orders", [kids[0], next]))
            try await it.nodes[1].installation.keyUse.flush()
            let made = try await rotate(it.node, root)
            #expect(made.status == 202)
            #expect(made["kid"] == next)
        }
    }

    @Test func `A rotation that is not told to wait asks nobody`() async throws {
        try await TestInstallation.run { it in
            let root = try await it.node.administrator()
            _ = try await fetch(it.node, as: report("orders", []))
            let answer = try await it.node.post("/admin/keys/rotate", ["wait_for_verifiers": false], bearer: root)
            #expect(answer.status == 202)
            let wrong = try await it.node.post("/admin/keys/rotate", ["wait_for_verifiers": "yes"], bearer: root)
            #expect(wrong.status == 400)
            #expect(wrong["code"] == "wrong-type")
        }
    }
}
