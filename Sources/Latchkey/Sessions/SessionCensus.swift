package import Postgres

/// How many sessions are alive, and how many of those got their newest access token in a given time.
package struct SessionCensus: Sendable, Equatable {
    package let alive: Int64
    package let issued: Int64
    /// Whether every row was looked at; else both are estimated from a sample.
    package let isExact: Bool
}

extension Sessions {
    /// Pages (64 MB of them) that a census reads at the most: it answers within the second however many sessions there are.
    static let censusPages: Int64 = 8_000

    /// Counts sessions and those whose newest token was issued from `start` until before `end`.
    package func census(from start: Instant, until end: Instant) async throws(PostgresError) -> SessionCensus {
        try await census(from: start, until: end, pages: Self.censusPages)
    }

    func census(from start: Instant, until end: Instant, pages most: Int64) async throws(PostgresError) -> SessionCensus
    {
        let pages: Int64 = try await database.query(SessionCensusSQL.pages).one().decode("pages")
        let millionths = pages <= most ? 1_000_000 : max(1, most * 1_000_000 / pages)
        let row = try await database.query(
            SessionCensusSQL.count(from: start, until: end, millionths: millionths)
        ).one()
        return SessionCensus(
            alive: try row.decode("alive", as: Int64.self) * 1_000_000 / millionths,
            issued: try row.decode("issued", as: Int64.self) * 1_000_000 / millionths, isExact: millionths == 1_000_000)
    }
}

enum SessionCensusSQL {
    static let pages: Query = """
        SELECT (COALESCE(sum(pg_relation_size(inhrelid)), 0) / current_setting('block_size')::bigint)::bigint AS pages
        FROM pg_inherits
        WHERE inhparent = 'sessions'::regclass
        """

    /// - Parameter millionths: the share of the pages that is read.
    static func count(from start: Instant, until end: Instant, millionths: Int64) -> Query {
        """
        SELECT count(*) AS alive, count(*) FILTER (WHERE issued_at >= \(start) AND issued_at < \(end)) AS issued
        FROM sessions TABLESAMPLE SYSTEM (\(millionths)::float8 / 10000)
        WHERE ended_at IS NULL AND idle_until > clock_timestamp() AND max_until > clock_timestamp()
        """
    }
}
