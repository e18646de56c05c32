package import Postgres

/// One line of the list as an operator reads it, newest first. Who revoked it, and why, stands in the audit log.
package struct ListedEntry: Sendable {
    package enum Kind: String, CaseIterable, Sendable {
        case jti
        case sid
        case kid

        var number: Int16 {
            switch self {
            case .jti: RevocationEntry.Kind.jti.rawValue
            case .sid: RevocationEntry.Kind.sid.rawValue
            case .kid: KeyEntry.Kind.kid.rawValue
            }
        }
    }

    /// A part of the list.
    package struct Part: Sendable {
        package let entries: [ListedEntry]
        /// Where the next part begins; nil where there is none.
        package let next: Int64?
    }

    package let kind: Kind
    /// As the token spells it.
    package let id: String
    /// Nil of a key: it has none.
    package let expiresAt: Instant?
    /// Of a key alone.
    package let revokedAt: Instant?
    let seq: Int64

    init(_ row: ResultSet.Row) throws(PostgresError) {
        let number: Int16 = try row.decode("kind")
        guard let kind = Kind.allCases.first(where: { $0.number == number }) else {
            throw .undecodable(column: "kind")
        }
        self.kind = kind
        id = try row.decode("id")
        expiresAt = try row.decodeIfPresent("expires_at")
        revokedAt = try row.decodeIfPresent("revoked_at")
        seq = try row.decode("seq")
    }
}

extension RevocationSQL {
    /// How many entries a part looks at: of a list of millions nearly all may be of another kind, or expired and not
    /// emptied yet.
    static let looked: Int64 = 10_000

    /// The last entry that a part looks at; no row where it sees the list to its end.
    static func floor(before seq: Int64) -> Query {
        """
        SELECT seq
        FROM revocation_entries
        WHERE seq < \(seq)
        ORDER BY seq DESC
        OFFSET \(looked - 1)
        LIMIT 1
        """
    }

    /// Living entries, the newest first; of a key its latest one, where that is no lift. Of a table that does not hold the
    /// kind nothing is looked at.
    ///
    /// - Parameter kind: nil: of every kind.
    static func listed(before end: Int64, from floor: Int64, kind: ListedEntry.Kind?, limit: Int64) -> Query {
        """
        SELECT part.seq, part.kind, part.id, part.expires_at, part.revoked_at
        FROM (
            (SELECT seq, kind, id::text AS id, expires_at, NULL::timestamptz AS revoked_at
             FROM revocation_entries
             WHERE \(kind != .kid) AND seq < \(end) AND seq >= \(floor)
               AND expires_at > (SELECT settled FROM steady_clock())
               AND kind = COALESCE(\(kind?.number), kind)
             ORDER BY seq DESC
             LIMIT \(limit))
            UNION ALL
            (SELECT seq, kind, kid, NULL, at
             FROM revoked_keys key
             WHERE \(kind == nil || kind == .kid) AND seq < \(end) AND seq >= \(floor)
               AND kind = \(ListedEntry.Kind.kid.number)
               AND NOT EXISTS (SELECT FROM revoked_keys later WHERE later.kid = key.kid AND later.seq > key.seq)
             ORDER BY seq DESC
             LIMIT \(limit))
        ) AS part
        ORDER BY part.seq DESC
        LIMIT \(limit)
        """
    }
}

extension RevocationList {
    /// A part of the list as the database holds it, the newest first. It may hold fewer than `limit`, or none, and yet
    /// have a next one: no part looks at more than ten thousand.
    ///
    /// - Parameters:
    ///   - end: the `next` of the part before; nil for the first.
    ///   - limit: 1 to 1000.
    package func listed(before end: Int64?, kind: ListedEntry.Kind?, limit: Int64) async throws -> ListedEntry.Part {
        let end = end ?? .max
        return try await database.transaction { transaction in
            var floor: Int64?
            // Keys are few, and all looked at.
            if kind != .kid {
                let results = try await transaction.batch([
                    RevocationSQL.walkInOrder, RevocationSQL.floor(before: end),
                ])
                floor = results[1].count == 1 ? try results[1].one().decode("seq") : nil
            }
            let entries = try await transaction.query(
                RevocationSQL.listed(before: end, from: floor ?? 0, kind: kind, limit: limit + 1)
            ).rows.map { try ListedEntry($0) }
            let shown = Array(entries.prefix(Int(limit)))
            return ListedEntry.Part(entries: shown, next: entries.count > shown.count ? shown.last?.seq : floor)
        }
    }
}
