import Glibc
import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite("An ending that takes five seconds", .timeLimit(.minutes(2)), .eachAnswerCounts)
struct EndingLooksTests {
    /// Runs `ending`, of a user's sessions, while another transaction holds the list's head for so long.
    private func whileHeadIsHeld<R: Sendable>(
        _ cluster: OwnCluster, _ ending: @escaping @Sendable () async throws -> R,
        meanwhile: (Database) async throws -> Void = { _ in }
    ) async throws -> R {
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
        let task = Task { try await ending() }
        try await meanwhile(others)
        let result = try await task.value
        try await holding.value
        return result
    }

    @Test func `is carried out for a node, whose ticks show that the database lives`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                let node = nodes[0]
                let administrator = try await node.administrator()
                let tokens = try await node.newUser("alice")
                let answer = try await whileHeadIsHeld(cluster) {
                    try await node.post("/admin/users/alice/disable", bearer: administrator)
                }
                #expect(answer.status == 204)
                #expect(try await node.admits(tokens) == false)
            }
        }
    }

    /// It has no ticks, and the connection of its looks stands still after the first of them.
    @Test func `is carried out for a command, though one of its looks failed`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                let alice = try await nodes[0].newUser("alice")
                let command = scene.installation(cluster.connectionString)
                defer { command.close() }
                let origin = Origin(actor: "test")
                let user = try await command.users.find("alice")
                _ = try await whileHeadIsHeld(cluster) {
                    try await command.sessions.disable(user.id, reason: nil, origin: origin)
                } meanwhile: { others in
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
                    // The next look has another connection.
                    let goesOn = try await becomesTrue(within: .seconds(20)) {
                        try await others.query(look).rows.contains { try $0.decode("pid", as: Int32.self) != stuck }
                    }
                    kill(stuck, SIGCONT)
                    #expect(goesOn)
                }
                #expect(try await becomesTrue { try await nodes[0].admits(alice) == false })
            }
        }
    }
}
