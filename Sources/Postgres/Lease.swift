/// A leased connection. Valid until `release`; used by one task at a time.
// Sendable: `connection` is touched only by jobs posted to the reactor, so only on its thread.
package final class Lease: @unchecked Sendable {
    private let reactor: Reactor
    private let connection: Connection
    private let deadline: Int64

    init(_ reactor: Reactor, _ connection: Connection, timeout: Int64) {
        self.reactor = reactor
        self.connection = connection
        deadline = monotonicNow() + timeout
    }

    package enum Commits { case yes, no }

    @discardableResult
    package func query(_ query: Query) async throws(PostgresError) -> ResultSet {
        guard let result = try await batch([query], commits: .yes).first else { throw .unexpectedRowCount(0) }
        return result
    }

    /// Statements in one send, with one sync. After a commit that was warned of, the outcome is unknown.
    package func batch(_ queries: [Query], commits: Commits) async throws(PostgresError) -> [ResultSet] {
        try await run(queries, script: nil, commits: commits)
    }

    /// A text of several statements (a migration).
    func script(_ text: String) async throws(PostgresError) {
        _ = try await run([], script: text, commits: .no)
    }

    private func run(_ queries: [Query], script: String?, commits: Commits) async throws(PostgresError) -> [ResultSet] {
        try await answer { complete in
            self.reactor.post { core in
                // Lost since the last statement, or late: this one is not sent, and its fate is known.
                guard self.connection.isIdle else { return complete(.failure(.unavailable(.cannotConnect))) }
                guard monotonicNow() < self.deadline else { return complete(.failure(.unavailable(.leaseTimedOut))) }
                core.pool.statements += UInt64(queries.count)
                self.connection.run(
                    Batch(queries: queries, script: script, deadline: self.deadline) { outcome in
                        switch outcome {
                        case .done(_, warned: true) where commits == .yes: complete(.failure(.unknownOutcome))
                        case .done(let results, _): complete(.success(results))
                        case .refused(let error): complete(.failure(error))
                        case .broken: complete(.failure(.unknownOutcome))
                        }
                    })
            }
        }
    }

    func release() {
        _ = reactor.post { core in core.pool.release(self.connection) }
    }

    /// Ends the connection rather than give it back in an unknown state.
    func discard() {
        _ = reactor.post { _ in self.connection.close() }
    }
}
