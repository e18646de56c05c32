package import JOSE
package import Postgres

/// One id on the list: a `jti` or a `sid`.
package struct RevocationEntry: Sendable, Hashable {
    package enum Kind: Int16, MetricLabel {
        case jti = 1
        case sid = 2

        package var label: String {
            switch self {
            case .jti: "jti"
            case .sid: "sid"
            }
        }
    }

    package let kind: Kind
    package let id: UniqueID
    package let expiresAt: Instant
}

/// Every statement on the list's tables.
package enum RevocationSQL {
    /// Common table expressions that append what a preceding `entry (ordinal bigint, kind smallint, id uuid)` holds:
    /// the head is locked last and gives lock and position in one; without entries it is not touched. An entry expires
    /// when the longest-lived token that may still be alive has, plus 300 s for clocks and leeways. The slot is a
    /// sixteenth of a ring whose slots are an eighth of that horizon wide.
    package static let append: StaticString = """
        head AS (
            UPDATE feed_head
            SET seq = seq + (SELECT count(*) FROM entry),
                digest = sha256(digest || (
                    SELECT string_agg(int2send(kind) || uuid_send(id), ''::bytea ORDER BY ordinal) FROM entry))
            WHERE EXISTS (SELECT FROM entry)
            RETURNING epoch, seq, digest
        ), batch AS (
            INSERT INTO feed_batches (seq, digest)
            SELECT seq, digest FROM head
        ), horizon AS (
            SELECT longest_access_token + 300 AS seconds FROM installation
        ), stored AS (
            INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
            SELECT (floor(extract(epoch FROM e.expires_at) / ceil(e.seconds / 8.0))::bigint % 16)::smallint,
                   head.seq - (SELECT count(*) FROM entry) + entry.ordinal, entry.kind, entry.id, e.expires_at
            FROM head, entry,
                 (SELECT seconds, steady + seconds * interval '1 second' AS expires_at
                  FROM horizon, steady_clock()) e
            RETURNING kind, id, expires_at
        )
        """

    /// What a statement with `append` returns: a row an entry, each with the position after all of them.
    package static let appended: StaticString = """
        SELECT stored.kind, stored.id, stored.expires_at, head.epoch, head.seq, head.digest,
               pg_notify('latchkey_revocations', '') IS NULL AS notified
        FROM stored, head
        """

    static func append(tokenID: UniqueID, audit: Query) -> Query {
        """
        WITH entry AS (
            SELECT 1::bigint AS ordinal, \(RevocationEntry.Kind.jti.rawValue)::smallint AS kind, \(tokenID) AS id
        ), audit AS (\(audit)), \(literal: append) \(literal: appended)
        """
    }

    /// - Parameters:
    ///   - known: where the reader stands; `known_digest` is what this database's history says of that point.
    ///   - evidence: the same for the furthest point that cannot be missing unless commits were lost.
    static func head(known: Int64?, evidence: Int64?) -> Query {
        """
        SELECT epoch, seq, digest, c.raw, c.steady, c.settled, (SELECT version FROM key_ring) AS ring, i.fence,
               \(literal: inForce), \(literal: identities), (pg_current_wal_insert_lsn() - '0/0')::bigint AS wal,
               CASE WHEN seq = \(known) THEN digest
                    ELSE (SELECT b.digest FROM feed_batches b WHERE b.seq = \(known)) END AS known_digest,
               CASE WHEN seq = \(evidence) THEN digest
                    ELSE (SELECT b.digest FROM feed_batches b WHERE b.seq = \(evidence)) END AS evidence_digest
        FROM feed_head, installation i, steady_clock() AS c
        """
    }

    /// A page is read along the index, whatever the statistics say. Where they know nothing yet of millions of rows (behind
    /// a restore, or a storm of revocations) PostgreSQL takes a page for all there is, and collects and sorts all for each:
    /// past the deadline, so that no node would start.
    static let walkInOrder: Query = "SET LOCAL enable_sort = off"

    /// In their order, as many as one reading takes at once; in one row, as `RevocationPage` reads it: a column of each
    /// costs the node ten times as much, and a node that starts may have millions to read.
    ///
    /// - Parameter end: nil: up to the head, in the head's own snapshot.
    static func entries(after seq: Int64, through end: Int64? = nil, limit: Int64) -> Query {
        """
        SELECT string_agg(
                   int8send(page.seq) || timestamptz_send(page.expires_at) || int2send(page.kind) || uuid_send(page.id),
                   ''::bytea ORDER BY page.seq) AS entries
        FROM (
            SELECT seq, kind, id, expires_at
            FROM revocation_entries
            WHERE seq > \(seq) AND seq <= COALESCE(\(end), 9223372036854775807)
              AND expires_at > (SELECT settled FROM steady_clock())
            ORDER BY seq
            LIMIT \(limit)
        ) AS page
        """
    }

    /// What the list's digest was at `seq`, where that was the head within the last day; no row where no batch ended there.
    /// A position grows old from its successor on: behind quiet hours the head is as good as ever.
    static func digest(at seq: Int64) -> Query {
        """
        SELECT digest
        FROM feed_batches
        WHERE seq = \(seq) AND COALESCE(
            (SELECT successor.at FROM feed_batches successor WHERE successor.seq > \(seq) ORDER BY seq LIMIT 1)
                > (SELECT settled FROM steady_clock()) - interval '24 hours', true)
        """
    }

    /// A node's connections say whose they are, so that others can tell a frozen node's from a living one's.
    package static func applicationName(of node: UniqueID) -> String { "latchkey \(node.text)" }

    /// Waiters are few and looked at only after a second: `pg_blocking_pids` takes the lock manager's locks. Who waits for a
    /// standby is spared, however frozen its node looks: ended, its commit would stand and be seen without the standby, and
    /// a promotion would undo what others have read. And only a node that ticks itself may say so of others: where the
    /// database stalls, no row is young, and nobody is frozen.
    static let endFrozenBlockers: Query = """
        WITH waiting AS MATERIALIZED (
            SELECT DISTINCT unnest(pg_blocking_pids(pid)) AS pid
            FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
              AND query_start < clock_timestamp() - interval '1 second'
        )
        SELECT pg_terminate_backend(blocker.pid) AS ended
        FROM waiting
             JOIN pg_stat_activity blocker ON blocker.pid = waiting.pid
             JOIN node_ticks ON blocker.application_name = 'latchkey ' || node_ticks.node::text
        WHERE node_ticks.ticked_at < clock_timestamp() - interval '2 seconds'
          AND blocker.wait_event IS DISTINCT FROM 'SyncRep'
          AND EXISTS (
              SELECT FROM node_ticks me
              WHERE 'latchkey ' || me.node::text = current_setting('application_name')
                AND me.ticked_at > clock_timestamp() - interval '1 second')
        """

    /// A commit that waits for whatever commits wait for, and changes no row.
    static let proveLivingPrimary: Query = "SELECT pg_logical_emit_message(true, 'latchkey', '') IS NULL AS silent"

    /// Slots are spent by the settled clock.
    static let horizon: Query =
        "SELECT longest_access_token + 300 AS seconds, raw, steady, settled FROM installation, steady_clock()"

    /// Whether anything in the slot was alive then, and its last row; no `last` where it is empty.
    static func content(slot: Int16, at instant: Instant) -> Query {
        """
        SELECT EXISTS (SELECT FROM \("revocation_entries", slot: slot) WHERE expires_at > \(instant)) AS is_alive,
               (SELECT max(seq) FROM \("revocation_entries", slot: slot)) AS last
        """
    }

    /// Emptying a slot that was looked through: a lock that is not waited for (a queued ACCESS EXCLUSIVE lock would stop
    /// every reader behind a dump), a look at what came since, and TRUNCATE.
    static func lock(slot: Int16) -> Query {
        "LOCK TABLE \("revocation_entries", slot: slot) IN ACCESS EXCLUSIVE MODE NOWAIT"
    }

    /// By the last row: for any behind a position PostgreSQL may go through all of them, under the lock.
    static func hasRows(slot: Int16, after seq: Int64) -> Query {
        "SELECT COALESCE(max(seq) > \(seq), false) AS found FROM \("revocation_entries", slot: slot)"
    }

    static func empty(slot: Int16) -> Query {
        "TRUNCATE \("revocation_entries", slot: slot)"
    }

    /// A thousand at a time, so that no statement runs long: those that had a successor a day ago. The head has none: every
    /// node and follower stands there, however long nothing is revoked, and its digest is what tells this history from
    /// another. Only the first rows are looked at, or each round would walk through all.
    static let forgetOldBatches: Query = """
        DELETE FROM feed_batches
        WHERE seq IN (
            SELECT seq
            FROM (
                SELECT seq, lead(at) OVER (ORDER BY seq) AS followed_at
                FROM (SELECT seq, at FROM feed_batches ORDER BY seq LIMIT 1001) AS oldest
            ) AS batch
            WHERE followed_at < (SELECT settled FROM steady_clock()) - interval '24 hours')
        """
}

extension ResultSet {
    /// The rows of a statement that ends in `RevocationSQL.appended`.
    package func appendedEntries() throws(PostgresError) -> (entries: [RevocationEntry], position: FeedPosition?) {
        var entries: [RevocationEntry] = []
        var position: FeedPosition?
        for row in rows {
            entries.append(try RevocationEntry(row))
            if position == nil { position = try FeedPosition(row) }
        }
        return (entries, position)
    }
}

extension RevocationEntry {
    init(_ row: ResultSet.Row) throws(PostgresError) {
        guard let kind = Kind(rawValue: try row.decode("kind")) else { throw .undecodable(column: "kind") }
        self.init(kind: kind, id: try row.decode("id"), expiresAt: try row.decode("expires_at"))
    }
}
