import EmbeddedPostgres
import JOSE
import LatchkeyTesting
import Testing

@testable import Latchkey

/// Of two synchronous standbys one confirms, and the other takes over: nobody can promise more than one of them has.
@Suite("A failover that lost what its node has acknowledged", .timeLimit(.minutes(5)), .eachAnswerCounts)
struct AcknowledgedLossTests {
    enum Acknowledged: CaseIterable, Sendable { case endOfSession, revocationOfToken }

    /// Before any later commit could prove it: the acknowledgement is the evidence.
    @Test(arguments: Acknowledged.allCases) func `begins a new history, though it calls itself synchronous`(
        what: Acknowledged
    ) async throws {
        try await HistoryScene.run { scene, primary in
            try await primary.copy(.standby("s1")).run { _ in
                try await primary.copy(.standby("s2")).run { behind in
                    try #require(
                        try await becomesTrue {
                            try await primary.value(
                                "SELECT count(*) = 2 AS value FROM pg_stat_replication WHERE state = 'streaming'")
                        })
                    try await primary.administer(
                        "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (s1, s2)'", "SELECT pg_reload_conf()")
                    try await scene.withNodes(1, HistoryScene.hosts(primary, behind), .synchronous) { nodes in
                        try await journey(what, nodes[0], primary, behind)
                    }
                }
            }
        }
    }

    private func journey(
        _ what: Acknowledged, _ node: TestNode, _ primary: OwnCluster, _ behind: OwnCluster
    ) async throws {
        _ = try await node.installation.revocations.narrow()
        let witnesses = try await Witnesses.make(node)
        let before = try await HistoryRow.read(primary.connectionString)
        #expect(
            try await becomesTrue {
                try await behind.value("SELECT EXISTS (SELECT FROM users WHERE username = 'bob') AS value")
            })
        try await behind.administer("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        try #require(
            try await becomesTrue {
                try await behind.value("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver) AS value")
            })
        let answer =
            switch what {
            case .endOfSession: try await node.revoke(witnesses.revoked.refresh)
            case .revocationOfToken: try await node.revoke(witnesses.revoked.access)
            }
        #expect((200..<300).contains(answer.status))
        #expect(answer.header("latchkey-position") != nil)
        await primary.server.stopImmediately()
        try await behind.promote()

        #expect(
            try await becomesTrue {
                let ready = try await node.get("/readyz").status
                return ready == 200 && node.installation.revocations.isOf(anotherThan: before.epoch)
            })
        let after = try await HistoryRow.read(behind.connectionString)
        #expect(after.epoch != before.epoch && after.fence > before.fence && after.ring > before.ring)
        #expect(
            try await behind.value(
                "SELECT count(*) AS value FROM audit_events WHERE action = 'history.lost'", as: Int64.self) == 1)
        try await witnesses.expectVoid(node)
    }
}
