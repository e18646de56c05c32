import Synchronization

/// A transaction. BEGIN goes out with the first statements, COMMIT with the last: `commit([…])` sends what must not be
/// followed by a step of the client (the head of the revocation list is locked last) together with its COMMIT.
package final class Transaction: Sendable {
    /// `aborted`: its first or its last batch was refused. Whether BEGIN was executed is not known, so nothing more is
    /// sent but ROLLBACK: a statement after it could commit by itself.
    private enum State { case unopened, open, aborted, ended }

    private let lease: Lease
    private let state = Mutex(State.unopened)

    init(_ lease: Lease) {
        self.lease = lease
    }

    @discardableResult
    package func query(_ query: Query) async throws(PostgresError) -> ResultSet {
        guard let result = try await batch([query]).first else { throw .unexpectedRowCount(0) }
        return result
    }

    @discardableResult
    package func batch(_ queries: [Query]) async throws(PostgresError) -> [ResultSet] {
        guard try begins() else { return try await lease.batch(queries, commits: .no) }
        do {
            return Array(try await lease.batch(["BEGIN"] + queries, commits: .no).dropFirst())
        } catch {
            state.withLock { $0 = .aborted }
            throw error
        }
    }

    /// True where BEGIN has not been sent yet and must be.
    private func begins() throws(PostgresError) -> Bool {
        let before = state.withLock { state in
            defer { if state == .unopened { state = .open } }
            return state
        }
        switch before {
        case .unopened: return true
        case .open: return false
        case .aborted: throw .refused(sqlState: "25P02", constraint: nil)
        case .ended: throw .refused(sqlState: "25P01", constraint: nil)
        }
    }

    /// Sends `queries` and COMMIT in one go and returns their results once it is committed.
    /// - Parameter timeout: nanoseconds from now, where that takes longer than a transaction may; nil: its own.
    @discardableResult
    package func commit(
        _ queries: [Query] = [], timeout: Int64? = nil
    ) async throws(PostgresError) -> [ResultSet] {
        var all = queries + ["COMMIT"]
        if try begins() { all.insert("BEGIN", at: 0) }
        state.withLock { $0 = .ended }
        let results: [ResultSet]
        do {
            results = try await lease.batch(all, commits: .yes, timeout: timeout)
        } catch {
            if case .refused = error { state.withLock { $0 = .aborted } }
            throw error
        }
        // COMMIT of a transaction that a swallowed error has aborted answers ROLLBACK.
        guard results.last?.tag == "COMMIT" else { throw .refused(sqlState: "25P02", constraint: nil) }
        return Array(results.dropLast().suffix(queries.count))
    }

    /// Commits unless that was done. An aborted transaction whose error was swallowed does not pass for committed.
    func finish() async throws(PostgresError) {
        if state.withLock({ $0 == .open || $0 == .aborted }) { try await commit() }
    }

    func rollBack() async {
        let isOpen = state.withLock { state in
            defer { state = .ended }
            return state == .open || state == .aborted
        }
        guard isOpen else { return }
        await lease.rollBack()
    }
}
