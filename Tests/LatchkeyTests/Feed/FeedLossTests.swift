import EmbeddedPostgres
import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// Small, since others are tested at the same time; `make bench-feed` does it with whole processes and 100,000 entries.
@Suite("Followers of a list whose database crashes or is restored", .timeLimit(.minutes(3)))
struct FeedLossTests {
    /// Comes back whenever its stream ends, with its position.
    private final class Loyal: Sendable {
        private struct State {
            var ids: Set<String> = []
            var position: String?
            var resyncs = 0
        }

        private let state = Mutex(State())
        private let node: TestNode

        init(_ node: TestNode) { self.node = node }

        var ids: Set<String> { state.withLock { $0.ids } }
        var epoch: String? { state.withLock { $0.position }.map { String($0.prefix(36)) } }
        var resyncs: Int { state.withLock { $0.resyncs } }

        func run() async throws {
            while !Task.isCancelled {
                let position = state.withLock { $0.position }
                let follower = try await FeedFollower.follow(
                    node, headers: position.map { [("last-event-id", $0)] } ?? [])
                while !Task.isCancelled, follower.status == 200, !follower.hasEnded {
                    take(follower)
                    try? await Task.sleep(for: .milliseconds(10))
                }
                await follower.stop()
                take(follower)
                if follower.events("resync").contains(where: { $0.data["reason"] == "history" }) {
                    state.withLock { $0.resyncs += 1 }
                }
                try? await Task.sleep(for: .milliseconds(10))
            }
        }

        private func take(_ follower: FeedFollower) {
            let (ids, position) = (follower.ids, follower.position)
            state.withLock { state in
                state.ids.formUnion(ids)
                state.position = position ?? state.position
            }
        }
    }

    /// Two nodes on a database `live` of a cluster of their own, each with two followers.
    private static func run(
        _ body: @Sendable ([TestNode], [Loyal], OwnCluster, Database) async throws -> Void
    ) async throws {
        try await TestInstallation.run { it in
            try await OwnCluster.run { cluster in
                let administration = Database.patient(cluster.connectionString)
                defer { administration.shutDown() }
                try await administration.query("CREATE DATABASE live")
                var settings = it.settings
                settings.databaseURL = cluster.server.connectionString(database: "live")
                let live = Database.patient(settings.databaseURL)
                _ = try await Migrator(live, Migrations.all).migrate()
                live.shutDown()
                var nodes: [TestNode] = []
                let result: Result<Void, any Error>
                do {
                    for _ in 0..<2 {
                        nodes.append(
                            try await TestNode.start(
                                Installation(
                                    settings, masterKeys: it.node.installation.masterKeys,
                                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })))
                    }
                    let (all, followers) = (nodes, nodes.flatMap { [Loyal($0), Loyal($0)] })
                    result = .success(
                        try await withThrowingTaskGroup(of: Void.self) { group in
                            for follower in followers { group.addTask { try await follower.run() } }
                            defer { group.cancelAll() }
                            #expect(await becomesTrue { followers.allSatisfy { $0.epoch != nil } })
                            try await body(all, followers, cluster, administration)
                        })
                } catch {
                    result = .failure(error)
                }
                for node in nodes { await node.stop() }
                try result.get()
            }
        }
    }

    /// Until it is acknowledged.
    private static func revoke(_ count: Int, on node: TestNode) async -> Set<String> {
        var ids: Set<String> = []
        while ids.count < count, !Task.isCancelled {
            let id = UniqueID.version7(millisecondsSince1970: 1_800_000_000_000, random: SecureRandom.bytes(10))
            while !Task.isCancelled {
                let position = try? await node.installation.revocations.revoke(
                    tokenID: id, audit: .tokenRevoked(token: id.text, reason: nil), origin: Origin(actor: "test"))
                if position != nil { break }
                try? await Task.sleep(for: .milliseconds(20))
            }
            ids.insert(id.text)
        }
        return ids
    }

    private static func listed(_ cluster: OwnCluster) async throws -> Set<String> {
        let live = Database.patient(cluster.server.connectionString(database: "live"))
        defer { live.shutDown() }
        return Set(
            try await live.query("SELECT id FROM revocation_entries").rows.map {
                try $0.decode("id", as: UniqueID.self).text
            })
    }

    @Test func `hold what it holds after a crash amid revocations`() async throws {
        try await Self.run { nodes, followers, cluster, _ in
            let acknowledged = try await withThrowingTaskGroup(of: Set<String>.self) { group in
                for number in 0..<8 { group.addTask { await Self.revoke(30, on: nodes[number % 2]) } }
                #expect(await becomesTrue { followers.contains { $0.ids.count > 40 } })
                await cluster.server.stopImmediately()
                try await cluster.server.restart()
                return try await group.reduce(into: Set<String>()) { $0.formUnion($1) }
            }
            #expect(acknowledged.count == 240)
            let listed = try await Self.listed(cluster)
            #expect(acknowledged.subtracting(listed).isEmpty)
            // Whose fate was unknown and who asked no more is there or not; here each was asked until it was.
            #expect(listed == acknowledged)
            for follower in followers {
                #expect(await becomesTrue(within: .seconds(30)) { follower.ids == listed })
                #expect(follower.resyncs == 0)
            }
            for node in nodes {
                #expect(
                    listed.allSatisfy { UniqueID(text: $0).map { node.installation.revocations.contains($0) } == true })
            }
        }
    }

    /// Nobody may be in a database that is copied or renamed.
    private static func closed(_ administration: Database, _ statements: [Query]) async throws {
        try await administration.query("ALTER DATABASE live ALLOW_CONNECTIONS false")
        for statement in statements {
            #expect(
                await becomesTrue(within: .seconds(30)) {
                    _ = try? await administration.query(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'live'")
                    return (try? await administration.query(statement)) != nil
                })
        }
    }

    @Test func `are told of another history when a backup takes its place, and forget nothing`() async throws {
        try await Self.run { nodes, followers, cluster, administration in
            let kept = await Self.revoke(20, on: nodes[0])
            for follower in followers { #expect(await becomesTrue { follower.ids == kept }) }
            let epoch = try #require(followers[0].epoch)
            try await Self.closed(
                administration,
                ["CREATE DATABASE backup TEMPLATE live", "ALTER DATABASE live ALLOW_CONNECTIONS true"])
            let lost = await Self.revoke(20, on: nodes[1])
            for follower in followers {
                #expect(await becomesTrue(within: .seconds(30)) { follower.ids == kept.union(lost) })
            }
            #expect(followers.allSatisfy { $0.epoch == epoch })

            try await Self.closed(
                administration, ["ALTER DATABASE live RENAME TO gone", "ALTER DATABASE backup RENAME TO live"])
            let restored = ContinuousClock.now
            #expect(
                await becomesTrue(within: .seconds(30)) {
                    followers.allSatisfy { $0.epoch != nil && $0.epoch != epoch }
                })
            #expect(ContinuousClock.now - restored < .seconds(5))
            #expect(Set(followers.map(\.epoch)).count == 1)
            #expect(followers.allSatisfy { $0.resyncs == 1 })

            // The list is the backup's; what a node knows to be revoked it refuses all the same.
            #expect(try await Self.listed(cluster) == kept)
            for node in nodes {
                let whole = try ReceivedMessage(try await node.feed())
                #expect(Set(whole.ids.map(\.text)) == kept)
                #expect(
                    kept.union(lost).allSatisfy {
                        UniqueID(text: $0).map { node.installation.revocations.contains($0) } == true
                    })
            }
            let later = await Self.revoke(5, on: nodes[1])
            for follower in followers {
                #expect(await becomesTrue(within: .seconds(30)) { follower.ids == kept.union(lost).union(later) })
            }
        }
    }
}
