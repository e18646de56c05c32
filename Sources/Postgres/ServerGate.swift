/// Which servers may be used, of those that a connection string leads to. Each is asked when a connection to it is made, and
/// the connection is used only where the answer is admitted; else the next host is tried. What is asked is the caller's.
package struct ServerGate: Sendable {
    /// Answers one row.
    let question: Query
    let admits: @Sendable (ResultSet.Row?) -> Bool

    /// - Parameter admits: told nil of a server that does not know what it is asked of, a table that it lacks.
    package init(asking question: Query, admits: @escaping @Sendable (ResultSet.Row?) -> Bool) {
        self.question = question
        self.admits = admits
    }
}

extension PostgresError {
    /// The server does not know what it is asked of: a table, a column, a function.
    var isOfUnmadeDatabase: Bool { ["42P01", "42703", "42883"].contains(sqlState) }
}

extension Database {
    /// Ends the connections to servers that the gate does not admit any more. What is in flight there is told that its
    /// outcome is unknown.
    package func recheck() {
        _ = reactor.post { $0.recheck() }
    }
}
