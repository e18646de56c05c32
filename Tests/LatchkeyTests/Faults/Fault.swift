import EmbeddedPostgres
import LatchkeyTesting
import Postgres

/// What can befall a node's database, and how it ends. The node reaches it through `relay`.
enum Fault: String, CaseIterable, Sendable {
    /// The server ends as by a crash, and is started again.
    case stopped
    /// Every process of it stands still: connections are open, nothing answers.
    case frozen
    /// Each connection ends in the middle of its next answer.
    case cut
    /// Packets vanish both ways, without a word; those on their way come late.
    case partitioned
    /// Statements are taken, and their answers are lost.
    case mute
    /// Each piece takes 0.3 s each way: a refresh 0.6 s, a tick twice that.
    case slow
    /// `default_transaction_read_only`, as on a standby.
    case readOnly
    /// The node's connections are gone, and others hold every slot.
    case full

    /// Whether the node may still answer what needs the database.
    var mayGrant: Bool { self == .slow }

    /// - Returns: what ends it.
    func begin(_ cluster: OwnCluster, _ relay: Relay) async throws -> @Sendable () async throws -> Void {
        switch self {
        case .stopped:
            await cluster.server.stopImmediately()
            return { try await cluster.server.restart() }
        case .frozen:
            cluster.freeze()
            return { cluster.thaw() }
        case .cut: return pass(.cut, through: relay)
        case .partitioned: return pass(.held, through: relay)
        case .mute: return pass(.mute, through: relay)
        case .slow: return pass(.slow(milliseconds: 300), through: relay)
        case .readOnly:
            try await Self.setReadOnly("on", cluster)
            return { try await Self.setReadOnly("off", cluster) }
        case .full: return try await Self.fill(cluster, relay)
        }
    }

    private func pass(_ mode: Relay.Mode, through relay: Relay) -> @Sendable () async throws -> Void {
        relay.set(mode)
        return { relay.set(.open) }
    }

    private static func setReadOnly(_ value: String, _ cluster: OwnCluster) async throws {
        let operator_ = Database.patient(cluster.connectionString)
        defer { operator_.shutDown() }
        // ALTER SYSTEM writes no row: a read-only transaction may do it.
        try await operator_.query(Query(stringLiteral: "ALTER SYSTEM SET default_transaction_read_only = \(value)"))
        try await operator_.query("SELECT pg_reload_conf()")
    }

    /// Takes every slot, the node's own too: it is cut off until they are taken, or it would take them back.
    private static func fill(_ cluster: OwnCluster, _ relay: Relay) async throws -> @Sendable () async throws -> Void {
        let hogs = (0..<slots).map { _ in
            // From the first byte: one hog must not take another for the node.
            var configuration = DatabaseConfiguration(
                connectionString: cluster.connectionString + " application_name=hog")
            configuration.applicationName = "hog"
            return Database(configuration)
        }
        relay.set(.cut)
        defer { relay.set(.open) }
        let full = await becomesTrue(within: .seconds(30)) {
            await withTaskGroup(of: Bool.self) { group in
                for hog in hogs {
                    group.addTask {
                        let others = try? await hog.query(
                            """
                            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE backend_type = 'client backend' AND application_name <> 'hog'
                            """)
                        return others?.count == 0
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) } == slots
            }
        }
        guard full else {
            for hog in hogs { hog.shutDown() }
            throw NeverFull()
        }
        return { for hog in hogs { hog.shutDown() } }
    }

    /// `max_connections` of the cluster.
    static let slots = 40

    struct NeverFull: Error {}
}
