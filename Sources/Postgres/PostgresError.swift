/// What can go wrong between a statement and its answer. `description` is safe to log: PostgreSQL's own message and
/// DETAIL may hold a value and never leave this room.
package enum PostgresError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The server refused the statement; nothing of its transaction was committed.
    case refused(sqlState: String, constraint: String?)
    /// The statement was never sent: no connection within the deadline, or too many wait already.
    case unavailable(Unavailability)
    /// It was sent and its fate is not known: the connection broke or the deadline passed while it was in flight, or
    /// the server warned that a commit may not have reached its standby (01000).
    case unknownOutcome
    /// A column was missing, NULL, or of another type than the program asks for.
    case undecodable(column: String)
    /// A statement that must return one row returned another number.
    case unexpectedRowCount(Int)

    package enum Unavailability: String, Sendable {
        case cannotConnect, tooManyWaiting, leaseTimedOut, shutDown
        /// The task that waited was cancelled.
        case cancelled
        /// It is not settled which history the server's database is of.
        case unsettled
    }

    package var description: String {
        switch self {
        case .refused(let state, let constraint):
            "PostgreSQL refused the statement: SQLSTATE \(state)" + (constraint.map { ", constraint \($0)" } ?? "")
        case .unavailable(let reason): "PostgreSQL unavailable: \(reason.rawValue)"
        case .unknownOutcome: "PostgreSQL: outcome unknown"
        case .undecodable(let column): "PostgreSQL: column \(column) is not of the expected type"
        case .unexpectedRowCount(let count): "PostgreSQL: \(count) rows where one was expected"
        }
    }

    /// The constraint that a statement broke, where it broke one.
    package var constraint: String? {
        if case .refused(_, let constraint) = self { constraint } else { nil }
    }

    /// The server's state refused the statement, not its content: sent again, it may be taken. Read-only (25006), a stale
    /// plan within a transaction (0A000, 26000), deadlocks and lost locks (40, 55P03), resources (53), an operator or a
    /// time limit (57), the disk (58).
    package var isPassing: Bool {
        guard let state = sqlState else { return false }
        return ["25006", "0A000", "26000", "55P03"].contains(state)
            || ["40", "53", "57", "58"].contains { state.utf8.starts(with: $0.utf8) }
    }

    package var sqlState: String? {
        if case .refused(let state, _) = self { state } else { nil }
    }
}
