import EmbeddedPostgres
import Glibc
import LatchkeyTesting
import Postgres
import Synchronization

/// Three nodes, each behind a relay of its own, and the one PostgreSQL that they share.
final class TortureSite: Sendable {
    struct Tally: Sendable {
        var kills = 0, freezes = 0, crashes = 0, databaseFreezes = 0, readOnly = 0, cuts = 0, holds = 0
        /// Longest from the end of a kill to the line that tells that the node serves again.
        var slowestStart: Duration = .zero
    }

    let cluster: OwnCluster
    let relays: [Relay]
    let grounds: [ServeGround]
    let ports: [Int]
    private let nodes: Mutex<[ServeNode?]>
    private let counted = Mutex(Tally())
    /// The last lines that nodes which have ended said in their logs.
    private let said = Mutex<[String]>([])

    init(_ cluster: OwnCluster, keys: String, settings: [String: String], nodes count: Int) throws {
        self.cluster = cluster
        relays = try (0..<count).map { _ in try Relay(to: cluster.connectionString) }
        grounds = relays.map { ServeGround(connectionString: $0.connectionString, keys: keys, settings: settings) }
        ports = (0..<count).map { _ in FreePort.next() }
        nodes = Mutex(Array(repeating: nil, count: count))
    }

    var tally: Tally { counted.withLock { $0 } }
    var logs: [String] { said.withLock { $0 } }

    func count(_ change: (inout Tally) -> Void) { counted.withLock { change(&$0) } }

    /// Starts a node, again and again where its database is not to be had, until it serves.
    func start(_ index: Int) async throws {
        let begun = ContinuousClock.now
        while true {
            let node = try await grounds[index].start(port: ports[index])
            nodes.withLock { $0[index] = node }
            do {
                _ = try await node.process.line(after: "ready: ", within: 30)
                break
            } catch {
                guard ContinuousClock.now - begun < .seconds(120) else { throw error }
                await end(index)
                try await Task.sleep(for: .milliseconds(200))
            }
        }
        let spent = ContinuousClock.now - begun
        counted.withLock { $0.slowestStart = max($0.slowestStart, spent) }
    }

    /// `kill -9`, also of one that stands still.
    func end(_ index: Int) async {
        guard let node = nodes.withLock({ $0[index] }) else { return }
        node.process.send(SIGKILL)
        guard let transcript = try? await node.process.end() else { return }
        said.withLock { $0 = ($0 + transcript.errorLines.suffix(20)).suffix(200) }
    }

    func signal(_ index: Int, _ signal: Int32) {
        nodes.withLock { $0[index] }?.process.send(signal)
    }

    func shutDown() async {
        for relay in relays { relay.set(.open) }
        for index in ports.indices { await end(index) }
        for relay in relays { relay.close() }
    }

    func setReadOnly(_ value: String) async throws {
        let operator_ = Database.patient(cluster.connectionString)
        defer { operator_.shutDown() }
        // ALTER SYSTEM writes no row: a read-only transaction may do it.
        try await operator_.query(Query(stringLiteral: "ALTER SYSTEM SET default_transaction_read_only = \(value)"))
        try await operator_.query("SELECT pg_reload_conf()")
    }
}

/// Whoever hurts the site while it is used, until the time is up; each fault is over before the next of its lane begins,
/// and all are over when it returns.
struct Nemesis: Sendable {
    let site: TortureSite
    let seed: UInt64
    let end: ContinuousClock.Instant

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in site.ports.indices { group.addTask { try await haunt(node: index) } }
            group.addTask { try await hauntDatabase() }
            try await group.waitForAll()
        }
    }

    private func pause(_ milliseconds: ClosedRange<Int>, _ random: inout SeededGenerator) async throws {
        let wanted = ContinuousClock.now + .milliseconds(Int.random(in: milliseconds, using: &random))
        let limit = min(wanted, end)
        if limit > .now { try await Task.sleep(until: limit) }
    }

    private func haunt(node index: Int) async throws {
        var random = SeededGenerator(seed: seed &+ UInt64(index) &* 0x51_7C_C1_B7)
        while true {
            try await pause(300...4_000, &random)
            guard ContinuousClock.now < end else { return }
            let relay = site.relays[index]
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5:
                site.count { $0.kills += 1 }
                await site.end(index)
                try await site.start(index)
            case 5..<8:
                // Up to beyond what its proof of freshness lasts.
                site.count { $0.freezes += 1 }
                site.signal(index, SIGSTOP)
                try await pause(100...3_500, &random)
                site.signal(index, SIGCONT)
            case 8..<11:
                let modes: [Relay.Mode] = [.cut, .cutRequest, .cutAtCommit, .mute]
                relay.set(modes.randomElement(using: &random) ?? .cut)
                site.count { $0.cuts += 1 }
                try await pause(50...1_500, &random)
                relay.set(.open)
            default:
                site.count { $0.holds += 1 }
                relay.set(.held)
                try await pause(100...3_500, &random)
                relay.set(.open)
            }
        }
    }

    private func hauntDatabase() async throws {
        var random = SeededGenerator(seed: seed &+ 0x2545_F491)
        while true {
            try await pause(2_000...7_000, &random)
            guard ContinuousClock.now < end else { return }
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                site.count { $0.crashes += 1 }
                await site.cluster.server.stopImmediately()
                try await pause(0...1_000, &random)
                try await site.cluster.server.restart()
            case 5..<7:
                site.count { $0.databaseFreezes += 1 }
                site.cluster.freeze()
                try await pause(100...3_500, &random)
                site.cluster.thaw()
            case 7..<8:
                site.count { $0.readOnly += 1 }
                try await site.setReadOnly("on")
                try await pause(300...2_000, &random)
                try await site.setReadOnly("off")
            default:
                // Every node's connections, in the middle of COMMIT.
                site.count { $0.cuts += 1 }
                for relay in site.relays { relay.set(.cutAtCommit) }
                try await pause(200...1_500, &random)
                for relay in site.relays { relay.set(.open) }
            }
        }
    }
}
