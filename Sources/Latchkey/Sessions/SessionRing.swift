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
        // Looked through before the lock too, under which every log out and revocation waits for the scan: where something is
        // alive there is no lock at all. Under it once more, since a node of other settings may give birth in between.
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
            return try await database.transaction(timeout: scan) { transaction in
                let results = try await transaction.batch([
                    "LOCK TABLE \("sessions", slot: slot) IN ACCESS EXCLUSIVE MODE NOWAIT", isAlive,
                ])
                guard try results[1].one().decode("found", as: Bool.self) == false else { return false }
                try await transaction.commit(["TRUNCATE \("sessions", slot: slot)"])
                return true
            }
        } catch let error as PostgresError where error.sqlState == "55P03" {
            return false  // somebody reads it now; the next round will do
        }
    }
}
