import JOSE
import LatchkeyTesting
import Logging
import Postgres
import Testing

@testable import Latchkey

/// The database's clock is stepped for real: a `clock_timestamp()` of the test's own stands before the server's.
@Suite struct `A stepped clock of the database` {
    /// Lead 3, tokens of 2 s: settled after 5 s.
    private func run(
        _ body: @Sendable (TestInstallation, [TestNode], _ more: @Sendable () -> Installation) async throws -> Void
    ) async throws {
        try await TestInstallation.run(nodes: 0) { it in
            try await it.database.query("CREATE TABLE clock_shift AS SELECT interval '0' AS shift")
            try await it.database.query(
                """
                CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
                BEGIN
                    RETURN pg_catalog.clock_timestamp() + (SELECT s.shift FROM public.clock_shift s);
                END
                $$
                """)
            var settings = it.settings
            settings.databaseURL += " options='-csearch_path=public,pg_catalog'"
            settings.keys = KeyPolicy(publishLead: 3, maxAge: 1, leeway: 0, rotationInterval: 86_400)
            settings.accessTokenTTL = 2
            let masterKeys = try MasterKeyFolder(it.settings.keysDirectory).load()
            let chosen = settings
            @Sendable func more() -> Installation {
                Installation(
                    chosen, masterKeys: masterKeys, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
            var nodes: [TestNode] = []
            do {
                for _ in 0..<2 { nodes.append(try await TestNode.start(more())) }
                try await body(it, nodes, more)
            } catch {
                for node in nodes { await node.stop() }
                throw error
            }
            for node in nodes { await node.stop() }
        }
    }

    private func shift(_ it: TestInstallation, by text: String) async throws {
        try await it.database.query("UPDATE clock_shift SET shift = shift + \(text)::text::interval")
    }

    private func rotations(_ it: TestInstallation) async throws -> Int64 {
        try await it.database.query(
            "SELECT count(*) AS count FROM audit_events WHERE action = 'key.rotated'"
        ).one().decode("count")
    }

    private func published(_ node: TestNode) async throws -> Set<String> {
        let keys = try await node.get(JWKSRoutes.path).json["keys"]?.array ?? []
        return Set(keys.compactMap { $0.object?["kid"]?.string })
    }

    @Test func `forward lets no master key mint that a node lacks, though that looks silent, until it has settled`()
        async throws
    {
        try await run { it, nodes, _ in
            try await it.database.query(
                """
                INSERT INTO node_ticks (
                    node, version, master_keys, ticked_at, seen_at, access_token, publish_lead, max_age, leeway,
                    failover, algorithm)
                SELECT gen_random_uuid(), version, '{1}', ticked_at, seen_at, access_token, publish_lead, max_age,
                       leeway, failover, algorithm
                FROM node_ticks
                LIMIT 1
                """)
            let scene = MasterKeyScene(it: it)
            let masterKeys = nodes[0].installation.masterKeyRing
            #expect(try await masterKeys.makeNext(.use, in: scene.folder, origin: MasterKeyScene.origin) == 2)
            #expect(await becomesTrue { nodes[1].installation.masterKeys.versions == [1, 2] })
            #expect(try await masterKeys.promote(origin: MasterKeyScene.origin) == nil)
            try await shift(it, by: "2 days")
            // At once, before any tick has told of it.
            #expect(try await masterKeys.promote(origin: MasterKeyScene.origin) == nil)
            for node in nodes {
                #expect(await becomesTrue { node.installation.clock.reading?.isSettled == false })
            }
            var looks = 0
            while true {
                let minting = try await masterKeys.readAgain().minting?.version
                guard nodes.allSatisfy({ $0.installation.clock.step != nil }) else { break }
                looks += 1
                #expect(minting == 1)
                if minting != 1 { break }
            }
            #expect(looks > 0)
            // By then it is gone for more than a day.
            #expect(await becomesTrue { nodes.allSatisfy { $0.installation.masterKeys.current == 2 } })
        }
    }

    @Test func `forward lets nothing become due before it has settled, and everything after`() async throws {
        try await run { it, nodes, _ in
            let old = try await nodes[0].newUser("alice").signer
            try await it.database.query(
                """
                INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
                SELECT slot, slot + 1, 1, gen_random_uuid(), pg_catalog.clock_timestamp() + interval '1 hour'
                FROM generate_series(0, 15) AS slot
                """)
            let before = ContinuousClock.now
            try await shift(it, by: "2 days")
            for node in nodes {
                #expect(await becomesTrue { node.installation.clock.reading?.isSettled == false })
                #expect(node.installation.clock.steps.reading == 1)
            }
            // Overdue by a day, and an entry long expired, by that clock.
            let ring = RevocationRing(nodes[0].installation.database, clock: nodes[0].installation.clock)
            #expect(try await ring.emptySpentSlots() == 0)
            #expect(try await rotations(it) == 0)
            #expect(try await nodes[1].logIn("alice").signer == old)

            #expect(try await becomesTrue { try await rotations(it) == 1 })
            #expect(ContinuousClock.now - before >= .seconds(5))
            for node in nodes {
                #expect(try await becomesTrue { try await node.logIn("alice").signer != old })
                #expect(node.installation.clock.reading?.isSettled == true)
            }
            #expect(try await ring.emptySpentSlots() > 0)
            try await it.database.query("DELETE FROM revocation_entries")
        }
    }

    @Test func `back while no node runs is noticed by all that start then, and settles once`() async throws {
        try await run { it, nodes, more in
            #expect(try await nodes[0].newUser("alice").status == 200)
            for node in nodes { await node.stop() }
            try await shift(it, by: "-1 day")
            let late = [more(), more()]
            defer { for installation in late { installation.close() } }
            for installation in late { try await Node(installation).prepare() }
            #expect(late[0].clock.steps.reading == 1)
            #expect(late[1].clock.reading?.isSettled == false)
            // The second one takes the first one's word: it is no step of its own, which would begin anew.
            #expect(late[1].clock.steps.reading == 0)
        }
    }

    @Test func `back makes no key current again, and the schedule goes on`() async throws {
        try await run { it, nodes, more in
            let administrator = try await nodes[0].administrator()
            let old = try await nodes[0].newUser("alice").signer
            let answer = try await nodes[0].post("/admin/keys/rotate", bearer: administrator)
            #expect(answer.status == 202)
            let new = answer["kid"]
            #expect(try await becomesTrue { try await nodes[1].logIn("alice").signer == new })
            // It leaves and is destroyed: tokens live 2 s, the lead is 3 s.
            #expect(
                try await becomesTrue(within: .seconds(60)) {
                    try await it.database.query("SELECT FROM signing_keys WHERE kid = \(old) AND sealed IS NULL").count
                        == 1
                })
            try await shift(it, by: "-1 day")
            for node in nodes {
                #expect(await becomesTrue { node.installation.clock.steps.reading == 1 })
                #expect(try await node.logIn("alice").signer == new)
                #expect(try await !published(node).contains(old))
            }
            // By hand too: as soon as it has settled, a ripe standby signs at once.
            let again = try await becomes {
                let answer = try await nodes[1].post(
                    "/admin/keys/rotate", ["from": .string(new)], bearer: try await nodes[1].administratorAgain())
                return answer.status == 202 ? answer : nil
            }
            let next = try #require(again)["kid"]
            #expect(try await becomesTrue { try await nodes[0].logIn("alice").signer == next })

            for node in nodes {
                #expect(
                    await becomesTrue(within: .seconds(20)) { node.installation.clock.reading?.isSettled == true })
            }
            // Years may pass until the database's clock has caught up: a node that starts meanwhile notices nothing new.
            let late = more()
            defer { late.close() }
            try await Node(late).prepare()
            #expect(late.clock.steps.reading == 0)
            #expect(late.clock.reading?.isSettled == true)
            let isSettled: Bool = try await late.database.query(
                "SELECT settled = steady AND steady > raw + interval '23 hours' AS it FROM steady_clock()"
            ).one().decode("it")
            #expect(isSettled)
        }
    }
}

extension TestNode {
    /// A fresh token: those of this suite live for two seconds.
    fileprivate func administratorAgain() async throws -> String { try await logIn("root")["access_token"] }
}
