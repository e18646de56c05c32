import Glibc
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite("An ending whose looks at the database fail")
struct EndingLooksTests {
    static let table: [(Int, Sessions.Ticks, Bool)] = [
        (0, .come, false), (1, .come, false), (2, .come, false), (3, .come, true),
        // Ticks that have stopped say the same as the look.
        (0, .stopped, false), (1, .stopped, true), (2, .stopped, true),
        // A command has none.
        (0, .none, false), (1, .none, false), (2, .none, true),
    ]

    @Test(arguments: table) func `is given up once nothing shows that the database lives`(
        failed: Int, ticks: Sessions.Ticks, isGone: Bool
    ) {
        #expect(Sessions.isGone(failedLooks: failed, ticks: ticks) == isGone)
    }

    /// Its commit takes five seconds, and the connection of the looks stands still after the first of them.
    @Test(.timeLimit(.minutes(2)), .eachAnswerCounts)
    func `is carried out by a database that lives, though one of them failed`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                let node = nodes[0]
                let administrator = try await node.administrator()
                let tokens = try await node.newUser("alice")
                let others = Database.patient(cluster.connectionString)
                defer { others.shutDown() }
                let holding = Task {
                    try await others.transaction(timeout: 30_000_000_000) { transaction in
                        try await transaction.query("SELECT seq FROM feed_head FOR UPDATE")
                        try await transaction.query("SELECT pg_sleep(5)::text")
                    }
                }
                let isFree: Query = "SELECT seq FROM feed_head FOR UPDATE SKIP LOCKED"
                #expect(try await becomesTrue { try await others.query(isFree).count == 0 })

                let disabling = Task { try await node.post("/admin/users/alice/disable", bearer: administrator) }
                let look: Query = """
                    SELECT pid FROM pg_stat_activity
                    WHERE query LIKE 'SELECT pg_logical_emit_message%' AND state = 'idle'
                      AND application_name LIKE 'latchkey %'
                    """
                let found = try await becomes { () -> Int32? in
                    try await others.query(look).first?.decode("pid")
                }
                let stuck = try #require(found)
                kill(stuck, SIGSTOP)
                let answer = try await disabling.value
                kill(stuck, SIGCONT)
                #expect(answer.status == 204)
                #expect(try await node.admits(tokens) == false)
                try await holding.value
            }
        }
    }
}
