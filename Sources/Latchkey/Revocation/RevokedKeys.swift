import Postgres

/// A signing key's place on the revocation list. It has no expiry, since a leaked key forges any `exp`; a mistake is undone
/// by a lift.
package struct KeyEntry: Sendable, Hashable {
    package enum Kind: Int16, MetricLabel {
        case kid = 3
        case lift = 4

        package var label: String {
            switch self {
            case .kid: "kid"
            case .lift: "lift"
            }
        }
    }

    package let kind: Kind
    package let keyID: String
    /// Its position in the list.
    package let seq: Int64
}

/// Which entry of each key counts: the latest by its position, in whatever order they arrive. Two readings may run at once,
/// and a node hears of its own commit when it pleases; an older entry that comes late must undo nothing.
struct LatestKeyEntries {
    private var positions: [[UInt8]: Int64] = [:]

    /// Whether the entry is the latest of its key so far.
    mutating func admits(_ entry: KeyEntry) -> Bool {
        let key = Array(entry.keyID.utf8)
        if let known = positions[key], known >= entry.seq { return false }
        positions[key] = entry.seq
        return true
    }
}

extension RevocationSQL {
    /// Appends one entry. The head is locked last: this goes out in one send with its COMMIT. What the digest takes in has
    /// the kind before it and one length, so that no two lists have the same.
    static func append(_ kind: KeyEntry.Kind, keyID: String) -> Query {
        """
        WITH head AS (
            UPDATE feed_head
            SET seq = seq + 1, digest = sha256(digest || int2send(\(kind.rawValue)) || convert_to(\(keyID), 'UTF8'))
            RETURNING epoch, seq, digest
        ), batch AS (
            INSERT INTO feed_batches (seq, digest)
            SELECT seq, digest FROM head
        ), stored AS (
            INSERT INTO revoked_keys (seq, kind, kid)
            SELECT seq, \(kind.rawValue), \(keyID) FROM head
            RETURNING seq, kind, kid
        )
        SELECT stored.seq AS entry, stored.kind, stored.kid, head.epoch, head.seq, head.digest,
               pg_notify('latchkey_revocations', '') IS NULL AS notified
        FROM stored, head
        """
    }

    /// What stands of a key, as `append` told it, with the head's position of now; no row where it never was on the list.
    static func latest(keyID: String) -> Query {
        """
        SELECT r.seq AS entry, r.kind, r.kid, head.epoch, head.seq, head.digest
        FROM (SELECT seq, kind, kid FROM revoked_keys WHERE kid = \(keyID) ORDER BY seq DESC LIMIT 1) AS r,
             feed_head AS head
        """
    }

    /// In their order.
    static func keyEntries(after seq: Int64) -> Query {
        """
        SELECT seq AS entry, kind, kid
        FROM revoked_keys
        WHERE seq > \(seq)
        ORDER BY seq
        """
    }
}

extension KeyEntry {
    init(_ row: ResultSet.Row) throws(PostgresError) {
        guard let kind = Kind(rawValue: try row.decode("kind")) else { throw .undecodable(column: "kind") }
        self.init(kind: kind, keyID: try row.decode("kid"), seq: try row.decode("entry"))
    }
}
