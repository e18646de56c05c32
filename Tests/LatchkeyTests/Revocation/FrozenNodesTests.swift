import NIOHTTP1
import JOSE
import Latchkey
import LatchkeyTesting
import Logging
import Postgres
import Testing

@Suite("A node that holds a session's lock", .eachAnswerCounts)
struct FrozenNodesTests {
    /// Locks every session in the name of a node that ticked `age` seconds ago, for as long as `body` runs.
    private func holding(
        _ it: TestInstallation, lastTick age: Int64, _ body: @Sendable () async throws -> Void
    ) async throws {
        let node = try #require(UniqueID(text: "01a20474-0000-7000-8000-000000000000"))
        try await it.database.query(
            """
            INSERT INTO node_ticks (node, version, master_keys, ticked_at)
            VALUES (\(node), 'test', '{1}', clock_timestamp() - \(age) * interval '1 second')
            """)
        var configuration = DatabaseConfiguration(connectionString: it.connectionString)
        configuration.applicationName = RevocationSQL.applicationName(of: node)
        let database = Database(configuration)
        defer { database.shutDown() }
        try await database.transaction(timeout: 20_000_000_000) { transaction in
            // A backend stuck in the middle of its work, which the server's own timeout does not see.
            try await transaction.query("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
            try await transaction.query("SELECT FROM sessions FOR UPDATE")
            try await body()
        }
    }

    @Test("and is frozen loses it, and the refresh that waits goes on")
    func endsTheFrozen() async throws {
        try await TestInstallation.run { it in
            let token = try await it.node.newUser("alice")["refresh_token"]
            await #expect(throws: PostgresError.self) {
                try await holding(it, lastTick: 60) {
                    let answer = try await it.node.refresh(token)
                    #expect(answer.status == 200)
                }
            }
        }
    }

    @Test("and lives keeps it: the refresh is asked to come again, and nothing is lost")
    func sparesTheLiving() async throws {
        try await TestInstallation.run(patience: 2_000_000_000) { it in
            let token = try await it.node.newUser("alice")["refresh_token"]
            try await holding(it, lastTick: -60) {
                let answer = try await it.node.refresh(token)
                #expect(answer.status == 503)
                #expect(answer.headers["retry-after"].isEmpty == false)
            }
            #expect(try await becomesTrue { try await it.node.refresh(token).status == 200 })
        }
    }

    /// Nobody's row is young then: a node that has not ticked itself knows nothing of others.
    @Test("and has not ticked keeps it while the database stalls for whoever looks")
    func sparesAllInAStall() async throws {
        try await TestCluster.withDatabase(migrations: Migrations.all) { connectionString in
            let frozen = try #require(UniqueID(text: "01a20474-0000-7000-8000-000000000001"))
            let looking = try #require(UniqueID(text: "01a20474-0000-7000-8000-000000000002"))
            func database(of node: UniqueID) -> Database {
                var configuration = DatabaseConfiguration(connectionString: connectionString)
                configuration.applicationName = RevocationSQL.applicationName(of: node)
                return Database(configuration)
            }
            let (holder, looker) = (database(of: frozen), database(of: looking))
            let others = Database.patient(connectionString)
            defer { for database in [holder, looker, others] { database.shutDown() } }
            func tick(_ node: UniqueID, age: Int64) async throws {
                try await others.query(
                    """
                    INSERT INTO node_ticks (node, version, master_keys, ticked_at)
                    VALUES (\(node), 'test', '{1}', clock_timestamp() - \(age) * interval '1 second')
                    ON CONFLICT (node) DO UPDATE
                    SET ticked_at = excluded.ticked_at
                    """)
            }
            try await tick(frozen, age: 60)
            try await tick(looking, age: 3)
            let frozenNodes = FrozenNodes(looker, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            await #expect(throws: PostgresError.self) {
                try await holder.transaction(timeout: 30_000_000_000) { transaction in
                    try await transaction.query("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
                    try await transaction.query("SELECT single FROM installation FOR UPDATE")
                    let waiting = Task { try await others.query("SELECT single FROM installation FOR UPDATE") }
                    let longEnough: Query = """
                        SELECT pid FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock'
                          AND query_start < clock_timestamp() - interval '1 second'
                        """
                    #expect(try await becomesTrue { try await others.query(longEnough).count == 1 })
                    #expect(try await frozenNodes.endBlocking() == 0)
                    try await tick(looking, age: 0)
                    #expect(try await frozenNodes.endBlocking() == 1)
                    #expect(try await waiting.value.count == 1)
                }
            }
        }
    }

    /// Ended, its commit would stand and be seen, and a failover would take it back.
    @Test("and waits for a standby keeps it, however long it has not ticked", .timeLimit(.minutes(2)))
    func sparesWhoWaitsForAStandby() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(2, cluster.connectionString, .synchronous) { nodes in
                let sessions = [try await nodes[0].newUser("alice"), try await nodes[1].newUser("bob")]
                let head = "SELECT seq AS value FROM feed_head"
                let ticking =
                    "SELECT count(*) > 0 AS value FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                let waiting = """
                    SELECT count(*) AS value FROM pg_stat_activity
                    WHERE wait_event = 'SyncRep' AND query LIKE 'WITH locked AS%'
                    """
                try await cluster.administer(
                    "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
                // The nodes' ticks: the setting has reached the server.
                #expect(try await becomesTrue { try await cluster.value(ticking, as: Bool.self) })
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // The second one waits for the head that the first one holds, time and again.
                    for (node, tokens) in zip(nodes, sessions) {
                        group.addTask {
                            while try await node.revoke(tokens.refresh).status == 503 {}
                        }
                    }
                    #expect(try await becomesTrue { try await cluster.value(waiting, as: Int64.self) == 1 })
                    // Nobody has ticked for 2 s by then, and others have waited for 1 s.
                    let end = ContinuousClock.now + .seconds(6)
                    while ContinuousClock.now < end {
                        #expect(try await cluster.value(head, as: Int64.self) == 0)
                        #expect(try await cluster.value(waiting, as: Int64.self) == 1)
                        try await Task.sleep(for: .milliseconds(100))
                    }
                    try await cluster.administer(
                        "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
                    try await group.waitForAll()
                }
                #expect(try await cluster.value(head, as: Int64.self) == 2)
            }
        }
    }
}
