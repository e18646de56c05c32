import Postgres

/// Every statement on `verifiers` and `minted_tokens`.
enum KeyUseSQL {
    /// What a node has gathered, ordered by name: two nodes that add at once then lock the rows in one order. Of two
    /// reports the newer holds, whichever node comes first.
    static func add(_ seen: [SeenVerifier]) -> Query {
        // A kid has no space in it: a list of lists cannot be bound.
        let kids = seen.map { $0.kids.joined(separator: " ") }
        return """
            INSERT INTO verifiers AS v (name, seen_at, fetches, kids, reports)
            SELECT seen.name, seen.at, seen.fetches, string_to_array(seen.kids, ' '), seen.reports
            FROM unnest(\(seen.map(\.name)), \(seen.map(\.seenAt)), \(seen.map(\.fetches)), \(kids),
                        \(seen.map { $0.source == .report })) AS seen (name, at, fetches, kids, reports)
            ON CONFLICT (name) DO UPDATE
            SET fetches = v.fetches + excluded.fetches,
                kids = CASE WHEN v.seen_at > excluded.seen_at THEN v.kids ELSE excluded.kids END,
                reports = CASE WHEN v.seen_at > excluded.seen_at THEN v.reports ELSE excluded.reports END,
                seen_at = GREATEST(v.seen_at, excluded.seen_at)
            """
    }

    /// Ordered by kid and minute, as above.
    static func add(_ minted: [(kid: String, minute: Instant, count: Int64)]) -> Query {
        """
        INSERT INTO minted_tokens AS m (kid, minute, count)
        SELECT added.kid, added.minute, added.count
        FROM unnest(\(minted.map(\.kid)), \(minted.map(\.minute)), \(minted.map(\.count))) AS added (kid, minute, count)
        ON CONFLICT (kid, minute) DO UPDATE
        SET count = m.count + excluded.count
        """
    }

    /// All but the newest, and those that have not come for thirty days. A row that another node holds is left to it.
    static func forgetVerifiers(keeping most: Int64) -> Query {
        """
        DELETE FROM verifiers
        WHERE name IN (
            SELECT name
            FROM verifiers
            WHERE name <> ''
              AND (seen_at < clock_timestamp() - interval '30 days'
                   OR (seen_at, name) < (
                       SELECT seen_at, name
                       FROM verifiers
                       WHERE name <> ''
                       ORDER BY seen_at DESC, name DESC
                       LIMIT 1 OFFSET \(most - 1)))
            FOR UPDATE SKIP LOCKED)
        """
    }

    /// An hour after the last token of the minute has expired.
    static let forgetMinted: Query = """
        DELETE FROM minted_tokens
        USING installation
        WHERE minute < clock_timestamp() - (longest_access_token + 3600) * interval '1 second'
        """

    static let verifiers: Query = """
        SELECT name, seen_at, fetches, kids, reports
        FROM verifiers
        ORDER BY name
        """

    /// A minute counts whole until the last second of it is a lifetime ago: rather a few too many.
    static let alive: Query = """
        SELECT kid, sum(count)::bigint AS alive
        FROM minted_tokens, installation
        WHERE minute > clock_timestamp() - (longest_access_token + 60) * interval '1 second'
        GROUP BY kid
        """

    static let now: Query = "SELECT clock_timestamp() AS now"
}

extension SeenVerifier {
    init(_ row: ResultSet.Row) throws(PostgresError) {
        let reports: Bool = try row.decode("reports")
        self.init(
            name: try row.decode("name"), seenAt: try row.decode("seen_at"), fetches: try row.decode("fetches"),
            kids: try row.decode("kids"), source: reports ? .report : .answer)
    }
}
