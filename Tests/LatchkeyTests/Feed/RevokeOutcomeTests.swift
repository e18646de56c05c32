import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

/// A node whose connection breaks while a revocation's commit is under way: nobody knows whether it was done.
@Suite("A revocation of unknown outcome", .serialized, .eachAnswerCounts)
struct RevokeOutcomeTests {
    enum What: CaseIterable, Sendable { case accessToken, refreshToken, session }
    enum Fate: CaseIterable, Sendable {
        /// The server took the COMMIT; its answer is lost.
        case committed
        /// The backend ended before it.
        case lost
    }

    static let table = What.allCases.flatMap { what in Fate.allCases.map { (what, $0) } }

    @Test(arguments: table) func `is looked at again before it is answered`(what: What, fate: Fate) async throws {
        try await TestInstallation.run { it in
            let relay = try Relay(to: it.connectionString)
            defer { relay.close() }
            let node = try await it.node(behind: relay)
            let administrator = try await it.node.administrator()
            let tokens = try await it.node.newUser("alice")
            // Prepared, and connected.
            #expect(try await node.revoke(try await it.node.newUser("bob").access).status == 200)
            #expect(try await node.revoke(try await it.node.logIn("bob").refresh).status == 200)
            let listed = try await it.listed()

            let revoking = try await whileHeadIsHeld(it) {
                let revoking = Task { try await revoke(what, tokens, administrator, node) }
                try #require(await becomesTrue { try await waiting(it).count == 1 })
                if fate == .committed {
                    relay.set(.cut)
                } else {
                    try await it.database.query(
                        "SELECT pg_terminate_backend(pid) FROM unnest(\(try await waiting(it))) AS pid")
                }
                return revoking
            }
            #expect(await becomesTrue { (try? await it.listed()) ?? 0 > listed || fate == .lost })
            relay.set(.open)
            let answer = try await revoking.value
            let (status, position) = (answer.status, answer.header("latchkey-position"))
            // Only one connection was lost, and the look again goes by another: nobody needs to ask twice.
            if fate == .lost { #expect(status < 300) }
            // 503 is honest, and asked again it is done; whatever is told done is done.
            if status == 503 {
                #expect(try await becomesTrue { try await revoke(what, tokens, administrator, node).status < 300 })
            } else {
                #expect(status < 300 && position != nil)
            }
            #expect(try await node.admits(tokens) == false)
            #expect(try await becomesTrue { try await it.node.admits(tokens) == false })
            await node.stop()
        }
    }

    private func revoke(
        _ what: What, _ tokens: TestNode.Answer, _ administrator: String, _ node: TestNode
    ) async throws -> TestNode.Answer {
        switch what {
        case .accessToken: try await node.revoke(tokens.access)
        case .refreshToken: try await node.revoke(tokens.refresh)
        case .session: try await node.delete("/admin/sessions/\(try tokens.sid.text)", bearer: administrator)
        }
    }

    /// Backends that wait for the list's head.
    private func waiting(_ it: TestInstallation) async throws -> [Int32] {
        try await it.database.query(
            """
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%feed_head%'
            """
        ).rows.map { try $0.decode("pid") }
    }

    /// Holds the list's head, so that a revocation waits with its COMMIT on the way.
    private func whileHeadIsHeld<R: Sendable>(
        _ it: TestInstallation, _ body: @Sendable () async throws -> R
    ) async throws -> R {
        let holder = Database.patient(it.connectionString)
        defer { holder.shutDown() }
        return try await holder.transaction(timeout: 20_000_000_000) { transaction in
            try await transaction.hold("SELECT seq FROM feed_head FOR UPDATE")
            let result = try await body()
            try await transaction.commit()
            return result
        }
    }
}
