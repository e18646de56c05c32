import NIOHTTP1
import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("A node that holds a session's lock")
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
        try await TestInstallation.run { it in
            let token = try await it.node.newUser("alice")["refresh_token"]
            try await holding(it, lastTick: -60) {
                let answer = try await it.node.refresh(token)
                #expect(answer.status == 503)
                #expect(answer.headers["retry-after"].isEmpty == false)
            }
            #expect(try await it.node.refresh(token).status == 200)
        }
    }
}
