/// A small, honest libpq that blocks no event loop and no cooperative thread. This room owns connections, the two ways
/// to use them (grouped and pooled), transactions, LISTEN and migrations; it knows no table of the service.
package struct DatabaseConfiguration: Sendable {
    /// A libpq connection string or URI.
    package var connectionString: String
    /// What `pg_stat_activity` shows of the connections.
    package var applicationName = "latchkey"
    /// Connections of the pooled lane; each grouped lane and each listener has one more.
    package var maximumConnections = 8
    /// How many may wait for a connection, or in one grouped lane, before the next is refused.
    package var maximumWaiting = 10_000
    /// Nanoseconds from looking the name up to a session that is set up, all hosts and addresses together.
    package var connectTimeout: Int64 = 2_000_000_000
    /// Nanoseconds from the call to the answer, or to the end of a lease or transaction; waiting for a connection
    /// included. Past it the connection is closed.
    package var statementTimeout: Int64 = 2_000_000_000
    /// nil: every server will do.
    package var gate: ServerGate?

    package init(connectionString: String) {
        self.connectionString = connectionString
    }
}

/// The grouped lanes: revocations have one of their own, since a group waits for the list's head; so have guess slots,
/// whose one call at a time waits for rows that other nodes hold for the length of theirs.
package enum GroupedLane: Int, CaseIterable, Sendable {
    case hot
    case revocations
    case guesses
}

/// The connection string may hold a password: nothing prints it.
extension DatabaseConfiguration: CustomStringConvertible {
    package var description: String { "database configuration" }
}

package final class Database: Sendable {
    let reactor: Reactor
    package let configuration: DatabaseConfiguration

    package convenience init(_ configuration: DatabaseConfiguration) {
        self.init(configuration, lookUp: Resolver.system)
    }

    /// - Parameter lookUp: what finds a name's addresses, on a thread of its own.
    init(_ configuration: DatabaseConfiguration, lookUp: @escaping Resolver.LookUp) {
        self.configuration = configuration
        reactor = Reactor(configuration, lookUp: lookUp)
    }

    deinit {
        reactor.shutDown()
    }

    /// Closes every connection; whoever still waits is told so.
    package func shutDown() {
        reactor.shutDown()
    }

    /// An autocommit statement in the next commit group. It must not wait for a row lock (FOR UPDATE SKIP LOCKED).
    /// - Parameter timeout: nanoseconds; nil: the statement timeout.
    package func grouped(
        _ query: Query, in lane: GroupedLane = .hot, timeout: Int64? = nil, cancellation: Cancellation = .heeded
    ) async throws(PostgresError) -> ResultSet {
        let deadline = deadline(timeout, cancellation)
        return try await reactor.answer(cancellation) { core, reply in
            core.lanes[lane.rawValue].add(query, deadline: deadline, reply)
        }
    }

    /// One autocommit statement on a connection of the pool.
    /// - Parameter timeout: nanoseconds; nil: the statement timeout.
    @discardableResult
    package func query(
        _ query: Query, timeout: Int64? = nil, cancellation: Cancellation = .heeded
    ) async throws(PostgresError) -> ResultSet {
        let deadline = deadline(timeout, cancellation)
        return try await reactor.answer(cancellation) { core, reply in
            core.pool.run(query, deadline: deadline, reply)
        }
    }

    /// When what is asked now must be over.
    private func deadline(_ timeout: Int64?, _ cancellation: Cancellation = .heeded) -> Int64 {
        // What names a limit of its own (ending a million sessions) may take it, whoever asks.
        if let timeout { return monotonicNow() + timeout }
        let timeout = configuration.statementTimeout
        guard cancellation == .heeded, let patience = Patience.current else { return monotonicNow() + timeout }
        return monotonicNow() + patience.bounded(timeout)
    }

    /// Several statements in one send and one transaction. Each is prepared before the first is executed, so none may
    /// name a table that another of them makes.
    @discardableResult
    package func batch(_ queries: [Query]) async throws(PostgresError) -> [ResultSet] {
        let lease = try await takeLease(nil)
        defer { lease.releaseWhenDone() }
        return try await lease.batch(queries, commits: .yes)
    }

    /// A connection of the pool for as long as `body` runs, which may change its session. Cancelled with a statement in
    /// flight, it ends.
    /// - Parameter timeout: nanoseconds for all of it; nil: the statement timeout.
    package func lease<R: Sendable>(
        timeout: Int64? = nil, _ body: (Lease) async throws(PostgresError) -> R
    ) async throws(PostgresError) -> R {
        let lease = try await takeLease(timeout)
        defer { lease.release() }
        return try await body(lease)
    }

    /// Runs `body` in a transaction (READ COMMITTED) and commits it, unless `body` has done so by `commit(_:)` or throws.
    /// Throws `unknownOutcome` where the COMMIT was sent and not answered.
    package func transaction<R: Sendable>(
        timeout: Int64? = nil, _ body: (Transaction) async throws -> R
    ) async throws -> R {
        let lease = try await takeLease(timeout)
        defer { lease.releaseWhenDone() }
        let transaction = Transaction(lease)
        do {
            let value = try await body(transaction)
            try await transaction.finish()
            return value
        } catch {
            await transaction.rollBack()
            throw error
        }
    }

    private func takeLease(_ timeout: Int64?) async throws(PostgresError) -> Lease {
        let deadline = deadline(timeout)
        return try await reactor.answer { core, reply in core.pool.lease(deadline: deadline, reply) }
    }

    /// LISTEN on `channel`. The stream ends with the database.
    package func notifications(on channel: StaticString) -> AsyncStream<Notification> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Notification.self, bufferingPolicy: .bufferingNewest(1))
        let posted = reactor.post { $0.listen(Listener(channel: channel, continuation)) }
        if !posted { continuation.finish() }
        return stream
    }
}
