import JOSE
package import Postgres

/// The ring of the sessions' partitions: an old slot, in which no session can live any more, is emptied by TRUNCATE, so
/// that it is empty when its turn comes again. Nothing depends on it: an un-emptied slot takes new rows beside its old.
package struct SessionRing: Sendable {
    private let database: Database
    private let policy: SessionPolicy

    package init(_ database: Database, policy: SessionPolicy) {
        self.database = database
        self.policy = policy
    }

    /// The slot whose turn comes next: what was born in it lies at least 15 widths back, and 14 hold the longest life.
    package static func spentSlot(now: Instant, policy: SessionPolicy) -> Int16 {
        Int16((now.seconds / policy.slotWidth + 1) % 16)
    }

    /// Whether there was one to empty. Not where anything in it may still live, whatever the settings were at its birth.
    package func emptySpentSlot() async throws -> Bool {
        let now: Instant = try await database.query("SELECT settled AS now FROM steady_clock()").one().decode("now")
        let slot = Self.spentSlot(now: now, policy: policy)
        let hasRows: Query = "SELECT EXISTS (SELECT FROM \("sessions", slot: slot)) AS found"
        guard try await database.query(hasRows).one().decode("found", as: Bool.self) else { return false }
        // Looked through before the lock, under which every log out and revocation waits: where something is alive there
        // is no lock at all.
        let isAlive: Query = """
            SELECT EXISTS (
                SELECT FROM \("sessions", slot: slot), installation, (SELECT settled FROM steady_clock()) AS c
                WHERE max_until + longest_access_token * interval '1 second' > c.settled
            ) AS found
            """
        let scan: Int64 = 60_000_000_000
        let found = try await database.lease(timeout: scan) { lease throws(PostgresError) in
            try await lease.query(isAlive)
        }
        guard try found.one().decode("found", as: Bool.self) == false else { return false }
        do {
            return try await database.transaction { transaction in
                let results = try await transaction.batch([
                    "LOCK TABLE \("sessions", slot: slot) IN ACCESS EXCLUSIVE MODE NOWAIT",
                    Self.wasBorn(in: slot, since: now - Self.longestBirth),
                ])
                guard try results[1].one().decode("found", as: Bool.self) == false else { return false }
                try await transaction.commit(["TRUNCATE \("sessions", slot: slot)"])
                return true
            }
        } catch let error as PostgresError where error.sqlState == "55P03" {
            return false  // somebody reads it now; the next round will do
        }
    }

    /// In seconds: between the time in a `sid` and the commit of its row lie at most two statements' deadlines, and what
    /// a node's clock differs from the database's.
    private static let longestBirth: Int64 = 600

    /// Whether there is a session born since then: what a node of other settings, whose turn the slot is, may have given
    /// birth to since it was looked through. By the time in `sid`, which is indexed: a moment, however many rows there are
    /// (the newest alone is looked at, or a planner without statistics would walk through all).
    private static func wasBorn(in slot: Int16, since instant: Instant) -> Query {
        let first = UniqueID.version7(
            millisecondsSince1970: max(0, instant.milliseconds), random: [UInt8](repeating: 0, count: 10))
        return """
            SELECT EXISTS (
                SELECT FROM (SELECT sid FROM \("sessions", slot: slot) ORDER BY sid DESC LIMIT 1) AS newest
                WHERE sid >= \(first)
            ) AS found
            """
    }
}
