import EmbeddedPostgres
import Foundation
import JOSE
import LatchkeyTesting
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// What a database that lost commits brings back.
@Suite("A lost history", .timeLimit(.minutes(5)))
struct LostHistoryTests {
    /// The whole journey: revoked, refreshed and rotated behind the copy, which then takes the place of the database.
    private func journey(
        _ node: TestNode, _ witnesses: Witnesses
    ) async throws -> (later: TestNode.Answer, kid: String) {
        try #require(try await node.revoke(witnesses.revoked.refresh).status == 200)
        let later = try await node.newUser("carol")
        try #require(later.status == 200)
        // The copy takes this key for a standby, and it has signed.
        let administrator = try await node.administrator()
        let rotated = try await node.post("/admin/keys/rotate", bearer: administrator)
        try #require(rotated.status == 202)
        let kid = rotated["kid"]
        try #require(try await becomesTrue { try await node.logIn("alice").signer == kid })
        return (try await node.logIn("alice"), kid)
    }

    private func expectBegun(_ cluster: OwnCluster, after before: HistoryRow, kids: [String]) async throws {
        let now = try await HistoryRow.read(cluster.connectionString)
        #expect(now.epoch != before.epoch)
        #expect(now.fence > before.fence)
        #expect(now.ring > before.ring)
        #expect(
            try await cluster.value(
                "SELECT identity = history_identity() AS value FROM feed_head", as: Bool.self))
        #expect(
            try await cluster.value(
                "SELECT count(*) AS value FROM audit_events WHERE action = 'history.lost'", as: Int64.self) == 1)
        for kid in kids {
            let entries = "SELECT count(*) AS value FROM revoked_keys WHERE kind = 3 AND kid = '\(kid)'"
            #expect(try await cluster.value(entries, as: Int64.self) == 1, "\(kid)")
        }
    }

    @Test func `of a restored base backup is void at the first node's start`() async throws {
        try await HistoryScene.run { scene, cluster in
            var witnesses: Witnesses?
            var copy: ClusterCopy?
            var (after, kid): (TestNode.Answer?, String) = (nil, "")
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                witnesses = try await Witnesses.make(nodes[0])
                copy = try await cluster.copy(.restored)
                (after, kid) = try await journey(nodes[0], try #require(witnesses))
            }
            let before = try await HistoryRow.read(cluster.connectionString)
            await cluster.server.stop()
            let (people, late) = (try #require(witnesses), try #require(after))
            try await #require(copy).run { restored in
                try await scene.withNodes(2, restored.connectionString) { nodes in
                    for node in nodes { try await people.expectVoid(node, late) }
                    try await expectBegun(
                        restored, after: HistoryRow(epoch: before.epoch, fence: before.fence, identity: nil, ring: 0),
                        kids: [try people.living.signer, kid])
                    #expect(try await becomesTrue { try await Self.standbys(restored) == 2 })
                }
                // A second start finds nothing to do.
                let settled = try await HistoryRow.read(restored.connectionString)
                try await scene.withNodes(1, restored.connectionString) { _ in }
                #expect(try await HistoryRow.read(restored.connectionString).epoch == settled.epoch)
            }
        }
    }

    private static func standbys(_ cluster: OwnCluster) async throws -> Int64 {
        try await cluster.value(
            "SELECT count(*) AS value FROM signing_keys WHERE activates_at IS NULL AND compromised_at IS NULL")
    }

    /// Under a node that runs on: it knows by its position that the list has lost something.
    @Test func `of a data folder that was set back is found by a node that knew it`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(2, cluster.connectionString) { nodes in
                let witnesses = try await Witnesses.make(nodes[0])
                let copy = try await cluster.copy(.asItIs)
                let (later, kid) = try await journey(nodes[0], witnesses)
                let before = try await HistoryRow.read(cluster.connectionString)
                let keys = nodes[1].installation.ring.keys.count
                #expect(try await becomesTrue { try await nodes[1].admits(witnesses.revoked) == false })

                await cluster.server.stop()
                let data = cluster.server.location.dataDirectory
                try FileManager.default.removeItem(atPath: data)
                try FileManager.default.moveItem(atPath: copy.dataDirectory, toPath: data)
                copy.remove()
                try await cluster.server.restart()

                for node in nodes {
                    #expect(
                        try await becomesTrue {
                            let ready = try await node.get("/readyz").status
                            return ready == 200 && node.installation.revocations.isOf(anotherThan: before.epoch)
                        })
                }
                for node in nodes { try await witnesses.expectVoid(node, later) }
                try await expectBegun(cluster, after: before, kids: [try witnesses.living.signer, kid])
                // Born in the lost history, and unknown to this one.
                let unknown =
                    "SELECT count(*) AS value FROM revoked_keys r WHERE NOT EXISTS (SELECT FROM signing_keys k WHERE k.kid = r.kid)"
                #expect(try await cluster.value(unknown, as: Int64.self) == 1)
                // Every ring is the database's, though the lost one had seen more changes.
                #expect(keys == 4)
                let stored: [String] = try await cluster.value(
                    "SELECT array_agg(kid ORDER BY kid COLLATE \"C\") AS value FROM signing_keys WHERE compromised_at IS NULL"
                )
                for node in nodes {
                    #expect(
                        await becomesTrue {
                            node.installation.ring.keys.filter { $0.compromisedAt == nil }.map(\.kid).sorted() == stored
                        })
                }
            }
        }
    }

    /// The list is the same, and so is the cluster's name: the server's log is shorter.
    @Test func `of a data folder that was set back is found though nothing was revoked`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                let node = nodes[0]
                let witnesses = try await Witnesses.make(node)
                let copy = try await cluster.copy(.asItIs)
                let later = try await node.refresh(witnesses.living.refresh)
                try #require(later.status == 200)
                try await cluster.administer("SELECT pg_logical_emit_message(false, 'test', repeat('x', 8000000))")
                let before = try await HistoryRow.read(cluster.connectionString)
                let wal = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS value"
                let written: Int64 = try await cluster.value(wal)
                #expect(
                    await becomesTrue {
                        node.installation.revocations.state.withLock { $0.proven.map { $0.wal >= written } ?? false }
                    })

                await cluster.server.stop()
                let data = cluster.server.location.dataDirectory
                try FileManager.default.removeItem(atPath: data)
                try FileManager.default.moveItem(atPath: copy.dataDirectory, toPath: data)
                copy.remove()
                try await cluster.server.restart()
                try #require(try await cluster.value(wal, as: Int64.self) < written)

                #expect(
                    try await becomesTrue {
                        let ready = try await node.get("/readyz").status
                        return ready == 200 && node.installation.revocations.isOf(anotherThan: before.epoch)
                    })
                try await witnesses.expectVoid(node, later)
                try await expectBegun(cluster, after: before, kids: [try witnesses.living.signer])
                // Once: the shorter log is this history's own.
                let settled = try await HistoryRow.read(cluster.connectionString)
                let ticks = "SELECT ticked_at AS value FROM node_ticks ORDER BY ticked_at DESC LIMIT 1"
                let last: Instant = try await cluster.value(ticks)
                #expect(
                    try await becomesTrue {
                        try await cluster.value(ticks, as: Instant.self).microseconds > last.microseconds + 1_500_000
                    })
                #expect(try await HistoryRow.read(cluster.connectionString).epoch == settled.epoch)
            }
        }
    }

    @Test func `that nothing shows is declared by the operator`() async throws {
        try await HistoryScene.run { scene, cluster in
            var (witnesses, copy): (Witnesses?, ClusterCopy?)
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                witnesses = try await Witnesses.make(nodes[0])
                copy = try await cluster.copy(.asItIs)
                try #require(try await nodes[0].revoke(#require(witnesses).revoked.refresh).status == 200)
            }
            let before = try await HistoryRow.read(cluster.connectionString)
            await cluster.server.stop()
            let people = try #require(witnesses)
            try await #require(copy).run { restored in
                let command = scene.installation(restored.connectionString)
                defer { command.close() }
                let outcome = try await command.lostHistory.begin(origin: Origin(actor: "test"))
                #expect(outcome.kids.count == 3)
                #expect(outcome.signsNext.count == 1)
                try await expectBegun(
                    restored, after: HistoryRow(epoch: before.epoch, fence: before.fence, identity: nil, ring: 0),
                    kids: outcome.kids)
                try await scene.withNodes(1, restored.connectionString) { nodes in
                    try await people.expectVoid(nodes[0])
                }
            }
        }
    }

    @Test func `of a dump that was restored into the same cluster is void`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await cluster.administer("CREATE DATABASE latchkey")
            let connectionString = cluster.server.connectionString(database: "latchkey")
            let migrating = Database.patient(connectionString)
            _ = try await Migrator(migrating, Migrations.all).migrate()
            migrating.shutDown()
            try await scene.withNodes(1, connectionString) { nodes in
                let node = nodes[0]
                let witnesses = try await Witnesses.make(node)
                let dump = "\(cluster.server.location.dataDirectory).dump"
                let access = ["-h", cluster.host, "-U", "latchkey", "-d", "latchkey"]
                try await TestProgram.run("\(cluster.programs)/pg_dump", access + ["-Fc", "-f", dump])
                let (later, kid) = try await journey(node, witnesses)
                let before = try await HistoryRow.read(connectionString)

                // Under a node that runs on, as nobody should.
                try await cluster.administer("DROP DATABASE latchkey WITH (FORCE)", "CREATE DATABASE latchkey")
                try await TestProgram.run("\(cluster.programs)/pg_restore", access + ["--exit-on-error", dump])
                #expect(
                    try await becomesTrue {
                        let ready = try await node.get("/readyz").status
                        return ready == 200 && node.installation.revocations.isOf(anotherThan: before.epoch)
                    })
                try await witnesses.expectVoid(node, later)
                let restored = cluster.database("latchkey")
                try await expectBegun(restored, after: before, kids: [try witnesses.living.signer, kid])
            }
        }
    }

    @Test func `is none where PostgreSQL crashed and recovered`() async throws {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                let witnesses = try await Witnesses.make(nodes[0])
                try #require(try await nodes[0].revoke(witnesses.revoked.refresh).status == 200)
                let before = try await HistoryRow.read(cluster.connectionString)
                let follower = try await FeedFollower.follow(nodes[0])
                for _ in 0..<2 {
                    await cluster.server.stopImmediately()
                    try await cluster.server.restart()
                    #expect(try await becomesTrue { try await nodes[0].get("/readyz").status == 200 })
                }
                try await witnesses.expectAlive(nodes[0])
                #expect(try await nodes[0].admits(witnesses.revoked) == false)
                #expect(try await HistoryRow.read(cluster.connectionString) == before)
                #expect(follower.events("resync").count == 1)
                await follower.stop()
            }
            // Nor at a start.
            let before = try await HistoryRow.read(cluster.connectionString)
            try await scene.withNodes(1, cluster.connectionString) { _ in }
            #expect(try await HistoryRow.read(cluster.connectionString).epoch == before.epoch)
        }
    }

    /// `pg_upgrade`: another name, nothing lost.
    @Test func `is none where the operator says so before a node starts`() async throws {
        try await HistoryScene.run { scene, cluster in
            var witnesses: Witnesses?
            try await scene.withNodes(1, cluster.connectionString) { witnesses = try await Witnesses.make($0[0]) }
            try await cluster.administer("UPDATE feed_head SET identity = '1:00000001:1:1'")
            let before = try await HistoryRow.read(cluster.connectionString)
            let command = scene.installation(cluster.connectionString)
            try await command.lostHistory.keep(origin: Origin(actor: "test"))
            command.close()
            let people = try #require(witnesses)
            try await scene.withNodes(1, cluster.connectionString) { try await people.expectAlive($0[0]) }
            let after = try await HistoryRow.read(cluster.connectionString)
            #expect(after.epoch == before.epoch && after.fence == before.fence && after.ring == before.ring)
            #expect(after.identity != before.identity)
        }
    }
}
