import EmbeddedPostgres
import Glibc
import Latchkey
import LatchkeyTesting
import Postgres
import Synchronization
import Testing

/// Three nodes, each behind a relay of its own, and the one PostgreSQL that they share.
final class TortureSite: Sendable {
    struct Tally: Sendable {
        var kills = 0, freezes = 0, crashes = 0, databaseFreezes = 0, readOnly = 0
        var cuts = 0, cutsAtCommit = 0, mutes = 0, holds = 0
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

    /// Runs `body` with so many nodes that serve an installation of their own, whose administrator is `root`.
    static func run(
        settings: [String: String], nodes count: Int, _ body: @Sendable (TortureSite) async throws -> Void
    ) async throws {
        try await Dev.withFolder(named: "keys") { folder in
            try await OwnCluster.run(options: ["max_connections": "200"], migrations: Migrations.all) { cluster in
                let site = try TortureSite(cluster, keys: folder.path, settings: settings, nodes: count)
                let result: Result<Void, any Error>
                do {
                    try await site.makeInstallation()
                    result = .success(try await body(site))
                } catch {
                    result = .failure(error)
                }
                await site.shutDown()
                try result.get()
            }
        }
    }

    private func makeInstallation() async throws {
        for (arguments, input) in [
            (["master-key", "init"], ""), (["users", "create", "root", "--role", "admin"], "correct horse\n"),
        ] {
            let transcript = try await LatchkeyBinary.run(
                arguments, environment: grounds[0].environment, input: input)
            try #require(transcript.exit == .code(0), "\(transcript.errors)")
        }
        for index in ports.indices { try await start(index) }
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

    private enum Fault {
        case kill, freeze
        case relay(Relay.Mode)

        init(drawnBy random: inout SeededGenerator) {
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5: self = .kill
            case 5..<8: self = .freeze
            case 8..<11:
                let modes: [Relay.Mode] = [.cut, .cutRequest, .cutAtCommit, .mute]
                self = .relay(modes.randomElement(using: &random) ?? .cut)
            default: self = .relay(.held)
            }
        }
    }

    private enum DatabaseFault {
        case crash, freeze, readOnly
        /// Every node's connections at once.
        case relays(Relay.Mode)

        init(drawnBy random: inout SeededGenerator) {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5: self = .crash
            case 5..<7: self = .freeze
            case 7..<8: self = .readOnly
            // A grouped statement has no COMMIT of its own: what cuts it between its commit and its answer is a plain cut.
            default: self = .relays(random.chance(2) ? .cut : .cutAtCommit)
            }
        }
    }

    private func count(_ mode: Relay.Mode) {
        site.count { tally in
            switch mode {
            case .cut, .cutRequest: tally.cuts += 1
            case .cutAtCommit: tally.cutsAtCommit += 1
            case .mute: tally.mutes += 1
            case .held: tally.holds += 1
            case .open, .slow: break
            }
        }
    }

    private func haunt(node index: Int) async throws {
        var random = SeededGenerator(seed: seed &+ UInt64(index) &* 0x51_7C_C1_B7)
        // The shortest run too knows each of these: no luck of the draw leaves one out.
        let firsts: [Fault] = [.kill, .freeze, .relay(.cut)]
        var fault = firsts[index % firsts.count]
        while true {
            try await pause(300...4_000, &random)
            guard ContinuousClock.now < end else { return }
            switch fault {
            case .kill:
                site.count { $0.kills += 1 }
                await site.end(index)
                try await site.start(index)
            case .freeze:
                // Up to beyond what its proof of freshness lasts.
                site.count { $0.freezes += 1 }
                site.signal(index, SIGSTOP)
                try await pause(100...3_500, &random)
                site.signal(index, SIGCONT)
            case .relay(let mode):
                count(mode)
                site.relays[index].set(mode)
                try await pause(mode == .held ? 100...3_500 : 50...1_500, &random)
                site.relays[index].set(.open)
            }
            fault = Fault(drawnBy: &random)
        }
    }

    private func hauntDatabase() async throws {
        var random = SeededGenerator(seed: seed &+ 0x2545_F491)
        // As above: all are over within 45 s.
        var firsts: [DatabaseFault] = [.readOnly, .crash, .freeze, .relays(.cutAtCommit)]
        while true {
            try await pause(2_000...7_000, &random)
            guard ContinuousClock.now < end else { return }
            switch firsts.isEmpty ? DatabaseFault(drawnBy: &random) : firsts.removeFirst() {
            case .crash:
                site.count { $0.crashes += 1 }
                await site.cluster.server.stopImmediately()
                try await pause(0...1_000, &random)
                try await site.cluster.server.restart()
            case .freeze:
                site.count { $0.databaseFreezes += 1 }
                site.cluster.freeze()
                try await pause(100...3_500, &random)
                site.cluster.thaw()
            case .readOnly:
                site.count { $0.readOnly += 1 }
                try await site.setReadOnly("on")
                try await pause(300...2_000, &random)
                try await site.setReadOnly("off")
            case .relays(let mode):
                count(mode)
                for relay in site.relays { relay.set(mode) }
                try await pause(200...1_500, &random)
                for relay in site.relays { relay.set(.open) }
            }
        }
    }
}
