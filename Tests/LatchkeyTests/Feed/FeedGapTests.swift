import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// A follower's set is the database's, and comes in time. Small, since others are tested at the same time:
/// `LATCHKEY_FEED_STORM` says how many entries are written instead (100000), and that figures are held to the promise: run it alone.
@Suite("Followers of the feed")
struct FeedGapTests {
    private static let storm = ProcessInfo.processInfo.environment["LATCHKEY_FEED_STORM"].flatMap { Int($0) }
    private static let count = storm ?? 320
    private static let writers = storm == nil ? 16 : 64
    private static let samples = storm == nil ? 40 : 1_000

    private static func id() -> UniqueID {
        .version7(millisecondsSince1970: 1_800_000_000_000, random: SecureRandom.bytes(10))
    }

    private static func revoke(_ id: UniqueID, on node: TestNode) async throws -> FeedPosition {
        try await node.installation.revocations.revoke(
            tokenID: id, audit: .tokenRevoked(token: id.text, reason: nil), origin: Origin(actor: "test"))
    }

    /// Reads until it is told to hang up; comes back with its position.
    private struct Restless: Sendable {
        let node: TestNode

        func run(until isOver: @Sendable () -> Bool, complete: @Sendable (Set<String>) -> Bool) async throws
            -> (ids: Set<String>, connections: Int)
        {
            var known: Set<String> = []
            var position: String?
            var connections = 0
            while true {
                let follower = try await FeedFollower.follow(
                    node, headers: position.map { [("last-event-id", $0)] } ?? [])
                connections += 1
                let before = known
                if isOver() {
                    _ = await becomesTrue(within: .seconds(30)) { complete(before.union(follower.ids)) }
                } else {
                    // As long as this one lives; it waits for nothing.
                    try await Task.sleep(for: .milliseconds(Int.random(in: 5...300)))
                }
                await follower.stop()
                known.formUnion(follower.ids)
                position = follower.position ?? position
                if complete(known) || connections > 2_000 { return (known, connections) }
            }
        }
    }

    @Test func `miss nothing and invent nothing, while they come and go, and others write and roll back`() async throws
    {
        try await TestInstallation.run(nodes: 3) { it in
            // Somebody forgets a transaction that writes, in another database of the cluster.
            try await TestCluster.withDatabase { other in
                let forgotten = Database.patient(other)
                defer { forgotten.shutDown() }
                try await forgotten.transaction(timeout: 120_000_000_000) { transaction in
                    try await transaction.hold("SELECT txid_current()")
                    try await storm(it)
                    try await transaction.commit()
                }
            }
        }
    }

    private func storm(_ it: TestInstallation) async throws {
        let over = Shared(false)
        let expected = Shared<Set<String>>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<(Self.storm == nil ? 3 : 12) {
                group.addTask {
                    let (ids, connections) = try await Restless(node: it.nodes[number % 3]).run(
                        until: { over.value }, complete: { over.value && $0 == expected.value })
                    #expect(ids == expected.value, "\(ids.count) of \(expected.value.count)")
                    #expect(connections > 1)
                }
            }
            group.addTask {
                let ids = try await withThrowingTaskGroup(of: [String].self) { writers in
                    for number in 0..<Self.writers {
                        writers.addTask { try await Self.write(it.nodes[number % 3], it.database) }
                    }
                    return try await writers.reduce(into: Set<String>()) { $0.formUnion($1) }
                }
                expected.set(ids)
                over.set(true)
            }
            try await group.waitForAll()
        }
        var listed: Set<String> = []
        for row in try await it.database.query("SELECT id FROM revocation_entries").rows {
            listed.insert(try row.decode("id", as: UniqueID.self).text)
        }
        #expect(listed == expected.value)
    }

    private static func write(_ node: TestNode, _ database: Database) async throws -> [String] {
        var ids: [String] = []
        for round in 0..<(count / writers) {
            let id = id()
            if round % 10 == 3 {
                struct Regret: Error {}
                do {
                    try await database.transaction { transaction in
                        try await transaction.query(
                            RevocationSQL.append(
                                tokenID: id,
                                audit: Event.tokenRevoked(token: id.text, reason: nil).row(Origin(actor: "test"))))
                        throw Regret()
                    }
                } catch is Regret {
                    // It was never on the list.
                }
                continue
            }
            _ = try await revoke(id, on: node)
            ids.append(id.text)
            if round % 3 == 0 { try await Task.sleep(for: .milliseconds(Int.random(in: 0...20))) }
        }
        return ids
    }

    /// Prints the figures. Beside all other tests it holds them to what the slowest of machines keeps, alone to the promise.
    @Test func `hear of a revocation soon after it was acknowledged`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            var followers: [FeedFollower] = []
            for number in 0..<50 { followers.append(try await FeedFollower.follow(it.nodes[number % 2])) }
            let all = followers
            #expect(await becomesTrue { all.allSatisfy { $0.messages.count > 0 } })
            let clock = ContinuousClock()
            let other = it.nodes[1].installation.revocations
            let samples = try await withThrowingTaskGroup(of: (UniqueID, ContinuousClock.Instant, Duration).self) {
                group in
                for number in 0..<Self.samples {
                    group.addTask {
                        try await Task.sleep(for: .milliseconds((Self.storm == nil ? 25 : 2) * number))
                        let id = Self.id()
                        _ = try await Self.revoke(id, on: it.node)
                        let acknowledged = clock.now
                        #expect(it.node.installation.revocations.contains(id))
                        #expect(await becomesTrue(within: .seconds(30)) { other.contains(id) })
                        return (id, acknowledged, clock.now - acknowledged)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            var delays: [Duration] = []
            for (id, acknowledged, _) in samples {
                for follower in followers {
                    #expect(await becomesTrue { follower.holds(id) })
                    if let since = follower.since(id) { delays.append(since - acknowledged) }
                }
            }
            for follower in followers { await follower.stop() }
            let (nodes, streams) = (samples.map(\.2).sorted(), delays.sorted())
            func line(_ name: String, _ delays: [Duration]) -> String {
                "\(name): p50 \(delays[delays.count / 2]), p99 \(delays[delays.count * 99 / 100]), of \(delays.count)"
            }
            print(line("revoke acknowledged → refused on a second node", nodes))
            print(line("revoke acknowledged → known to 50 followers", streams))
            #expect(delays.count == Self.samples * 50)
            #expect(streams[delays.count / 2] < (Self.storm == nil ? .seconds(1) : .milliseconds(50)))
            if Self.storm != nil {
                #expect(nodes[nodes.count * 99 / 100] <= .milliseconds(100))
                #expect(streams[delays.count * 99 / 100] <= .seconds(1))
            }
        }
    }
}

private final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) {
        state = Mutex(value)
    }

    var value: Value { state.withLock { $0 } }
    func set(_ value: Value) { state.withLock { $0 = value } }
}
