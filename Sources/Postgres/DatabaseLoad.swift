/// What the connections of one `Database` are at, and what they have done since it was made. Counted on the reactor's
/// own thread, without atomics, and read there.
package struct DatabaseLoad: Sendable {
    package struct Lane: Sendable {
        package let lane: GroupedLane
        package let waiting: Int
        package let groups: GroupSizes
        /// Statements of groups that were voided by a neighbour's error and ran again alone.
        package let retriedAlone: UInt64
    }

    /// Of the pool.
    package let leased: Int
    package let idle: Int
    package let waiting: Int
    package let maximum: Int
    /// Of every kind, those being opened included.
    package let connections: Int
    /// Sent by the pool, those inside transactions included.
    package let pooledStatements: UInt64
    package let lanes: [Lane]
}

/// How many statements went out together.
package struct GroupSizes: Sendable, Equatable {
    package static let bounds = [1, 2, 4, 8, 16, 32, 64, 128]

    /// Counts by bound, the last for what no bound holds.
    package private(set) var buckets = [UInt64](repeating: 0, count: bounds.count + 1)
    package private(set) var statements: UInt64 = 0

    package init() {}

    package mutating func record(_ size: Int) {
        var bucket = 0
        while bucket < Self.bounds.count, size > Self.bounds[bucket] { bucket += 1 }
        buckets[bucket] += 1
        statements += UInt64(size)
    }
}

extension Database {
    /// - Throws: `unavailable` once the database is shut down.
    package func load() async throws(PostgresError) -> DatabaseLoad {
        try await reactor.answer { core, reply in reply.answer(.success(core.load)) }
    }
}

extension ReactorCore {
    fileprivate var load: DatabaseLoad {
        DatabaseLoad(
            leased: pool.leasedCount, idle: pool.idleCount, waiting: pool.waitingCount,
            maximum: configuration.maximumConnections, connections: connectionCount,
            pooledStatements: pool.statements,
            lanes: zip(GroupedLane.allCases, lanes).map { lane, state in
                .init(
                    lane: lane, waiting: state.waitingCount, groups: state.groups, retriedAlone: state.retriedAlone)
            })
    }
}
