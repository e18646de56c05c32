package import Postgres

/// The database's clock as the life of keys and entries is read off it (rule "one clock"): never back, and not trusted at
/// once where it was stepped.
package struct ClockReading: Sendable, Equatable {
    /// The greater of the largest time that any node has seen and the clock itself. Stamps and states go by it: a clock
    /// stepped back would make a wiped key current again.
    package let now: Instant
    /// Up to here the clock is believed: `now`, or, for a while after a step, what it read before that. What becomes due
    /// (ripens, rotates by schedule, leaves, is emptied or wiped) goes by it: a clock stepped forward would ripen a key
    /// that no verifier knows, and empty the list under living tokens.
    package let settled: Instant

    package init(now: Instant, settled: Instant? = nil) {
        self.now = now
        self.settled = min(now, settled ?? now)
    }

    package var isSettled: Bool { settled == now }

    /// A row of `steady_clock()`.
    package init(_ row: ResultSet.Row) throws(PostgresError) {
        self.init(now: try row.decode("steady"), settled: try row.decode("settled"))
    }
}
