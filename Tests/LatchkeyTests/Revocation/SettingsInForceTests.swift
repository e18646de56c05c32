import LatchkeyTesting
import Logging
import Postgres
import Testing

@testable import Latchkey

@Suite struct `The settings in force` {
    private static func settings(
        _ accessToken: Int64 = 600, _ lead: Int64 = 3600, _ maxAge: Int64 = 300, _ leeway: Int64 = 30,
        _ failover: String = "synchronous"
    ) -> SettingsInForce {
        SettingsInForce(
            accessToken: accessToken, publishLead: lead, maxAge: maxAge, leeway: leeway, failover: failover,
            algorithms: ["RS256"])
    }

    static let wider: [SettingsInForce] = [
        settings(601), settings(600, 3601), settings(600, 3600, 301), settings(600, 3600, 300, 31),
        settings(600, 3600, 300, 30, "lossy"),
    ]

    @Test(arguments: wider)
    func `cover what is narrower alone, and are widened by what is not`(wider: SettingsInForce) {
        let row = Self.settings()
        #expect(row.covers(row))
        #expect(wider.covers(row))
        #expect(!row.covers(wider))
        #expect(row.widened(by: wider) == wider)
        #expect(wider.widened(by: row) == wider)
        #expect(wider.narrowed(to: [row, row]) == row)
        #expect(wider.narrowed(to: [row, wider]) == wider)
        // Without a tick nothing is known.
        #expect(wider.narrowed(to: []) == wider)
    }

    private func withList(_ body: (RevocationList, Database) async throws -> Void) async throws {
        try await TestCluster.withDatabase(migrations: Migrations.all) { connectionString in
            let database = Database.patient(connectionString)
            defer { database.shutDown() }
            try await body(RevocationList(database, pulse: database, clock: NodeClock()), database)
        }
    }

    private func tick(_ database: Database, age: Int64, lifetime: Int64?, lead: Int64 = 3600) async throws {
        try await database.query(
            """
            INSERT INTO node_ticks (
                node, version, master_keys, ticked_at, access_token, publish_lead, max_age, leeway, failover, algorithm)
            VALUES (gen_random_uuid(), 'x', '{1}', clock_timestamp() - \(age) * interval '1 second', \(lifetime), \(lead),
                    300, 30, 'synchronous', 'RS256')
            """)
    }

    private func row(_ database: Database) async throws -> SettingsInForce {
        try SettingsInForce(try await database.query(RevocationSQL.ground).one())
    }

    @Test func `are narrowed only when the old lead and lifetime have passed without a tick by them`() async throws {
        try await withList { list, database in
            try await database.query("UPDATE installation SET failover = 'synchronous'")
            try await list.widen(by: Self.settings(900))
            #expect(try await row(database).accessToken == 900)
            try await tick(database, age: 900 + 3600 + 30 - 5, lifetime: 900)
            try await tick(database, age: 0, lifetime: 300)
            #expect(try await list.narrow() == false)
            #expect(try await row(database).accessToken == 900)
            try await database.query("UPDATE node_ticks SET ticked_at = ticked_at - interval '10 seconds'")
            #expect(try await list.narrow())
            let narrow = try await row(database)
            #expect(narrow.accessToken == 300)
            #expect(narrow.publishLead == 3600)
            #expect(narrow.failover == "synchronous")
            #expect(try await list.narrow() == false)
        }
    }

    @Test func `stay where nobody ticks, or a node of a version that does not tell`() async throws {
        try await withList { list, database in
            try await list.widen(by: Self.settings(900))
            #expect(try await list.narrow() == false)
            try await tick(database, age: 0, lifetime: 300)
            try await tick(database, age: 0, lifetime: nil)
            #expect(try await list.narrow() == false)
            #expect(try await row(database).accessToken == 900)
        }
    }

    @Test func `keep the rows of nodes for as long as those count`() async throws {
        try await withList { list, database in
            try await list.widen(by: Self.settings(600, 200_000))
            try await tick(database, age: 150_000, lifetime: 600)
            try await tick(database, age: 250_000, lifetime: 600)
            try await RevocationRing(database, clock: NodeClock()).forgetOld()
            let count: Int64 = try await database.query("SELECT count(*) AS count FROM node_ticks").one().decode(
                "count")
            #expect(count == 1)
        }
    }

    @Test func `are widened before a node serves with more, and hold for every command`() async throws {
        try await TestInstallation.run(settings: { $0.keys.publishLead = 600 }) { it in
            let before = try await row(it.database)
            #expect(before.publishLead == 600)
            var settings = it.settings
            (settings.accessTokenTTL, settings.keys.publishLead, settings.keys.maxAge) = (1200, 45, 40)
            let installation = Installation(
                settings, masterKeys: it.node.installation.masterKeys, logger: it.node.installation.logger)
            defer { installation.close() }
            try await Node(installation).prepare()
            let after = try await row(it.database)
            #expect(after.accessToken == 1200)
            #expect(after.maxAge == 40)
            // Its own lead is shorter: a cache that a node with the longer one handed out may be alive.
            #expect(after.publishLead == 600)
            try await it.database.query("UPDATE signing_keys SET founding = false WHERE activates_at IS NULL")
            let signer = try await it.node.newUser("alice").signer
            let rotation = try await installation.signingKeys.rotate(
                from: signer, reason: nil, origin: Origin(actor: "test"))
            guard case .noRipeStandby(let ripeAt?) = rotation else {
                Issue.record("\(rotation)")
                return
            }
            let now = try await installation.signingKeys.all().now
            #expect(ripeAt - now > 540_000_000)
        }
    }

    @Test func `are widened again by a node that slept while others narrowed them`() async throws {
        try await TestInstallation.run(settings: { $0.accessTokenTTL = 900 }) { it in
            try await it.database.query("UPDATE installation SET longest_access_token = 60")
            #expect(try await becomesTrue { try await row(it.database).accessToken == 900 })
        }
    }
}
