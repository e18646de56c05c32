/// A leased connection. Valid until `release`; used by one task at a time.
// Sendable: `connection` is touched only by jobs posted to the reactor, so only on its thread.
package final class Lease: @unchecked Sendable {
    private let reactor: Reactor
    private let connection: Connection
    private let deadline: Int64

    init(_ reactor: Reactor, _ connection: Connection, deadline: Int64) {
        self.reactor = reactor
        self.connection = connection
        self.deadline = deadline
    }

    package enum Commits { case yes, no }

    @discardableResult
    package func query(_ query: Query) async throws(PostgresError) -> ResultSet {
        guard let result = try await batch([query], commits: .yes).first else { throw .unexpectedRowCount(0) }
        return result
    }

    /// Statements in one send, with one sync. After a commit that was warned of, the outcome is unknown.
    /// - Parameter timeout: nanoseconds from now; nil: the lease's end.
    package func batch(
        _ queries: [Query], commits: Commits, timeout: Int64? = nil
    ) async throws(PostgresError) -> [ResultSet] {
        try await run(queries, script: nil, commits: commits, timeout: timeout, .heeded)
    }

    /// A text of several statements (a migration).
    func script(_ text: String) async throws(PostgresError) {
        _ = try await run([], script: text, commits: .no, .heeded)
    }

    /// One statement that cleans up, whether or not the task was cancelled. Where it is not done, the connection ends,
    /// and the server cleans up.
    func cleanUp(_ query: Query) async {
        do { _ = try await run([query], script: nil, commits: .no, .ignored) } catch { discard() }
    }

    private func run(
        _ queries: [Query], script: String?, commits: Commits, timeout: Int64? = nil, _ cancellation: Cancellation
    ) async throws(PostgresError) -> [ResultSet] {
        let deadline = timeout.map { monotonicNow() + $0 } ?? deadline
        return try await reactor.answer(cancellation) { [self] core, reply in
            // Lost since the last statement, or late: this one is not sent, and its fate is known.
            guard connection.isIdle else { return reply.answer(.failure(.unavailable(.cannotConnect))) }
            guard monotonicNow() < deadline else { return reply.answer(.failure(.unavailable(.leaseTimedOut))) }
            reply.stage = .inFlight
            core.pool.statements += UInt64(queries.count)
            connection.run(
                Batch(queries: queries, script: script, deadline: deadline) { outcome in
                    switch outcome {
                    case .done(_, warned: true) where commits == .yes: reply.answer(.failure(.unknownOutcome))
                    case .done(let results, _): reply.answer(.success(results))
                    case .refused(let error): reply.answer(.failure(error))
                    case .broken: reply.answer(.failure(.unknownOutcome))
                    }
                })
        }
    }

    /// Ends a transaction whose statements are over. Where a cancelled task has left one in flight, or the time is up, the
    /// pool does it, at `releaseWhenDone`.
    func rollBack() async {
        _ = try? await run(["ROLLBACK"], script: nil, commits: .no, .ignored)
    }

    func release() {
        _ = reactor.post { core in core.pool.release(self.connection) }
    }

    /// Of a lease that holds nothing of the session: no lock, no setting.
    func releaseWhenDone() {
        _ = reactor.post { core in core.pool.releaseWhenDone(self.connection) }
    }

    /// Ends the connection rather than give it back in an unknown state.
    func discard() {
        _ = reactor.post { _ in self.connection.close() }
    }
}
