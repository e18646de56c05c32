package import Postgres

/// The ring of the list's partitions: which slots can hold nothing alive, and emptying those. An insert never depends on
/// this having run: a slot that was not emptied takes new rows beside its old ones.
package struct RevocationRing: Sendable {
    private let database: Database
    private let clock: NodeClock

    /// - Parameter clock: holds the database's against this machine's, so that nothing is emptied by a step that no tick
    ///   has noticed yet.
    package init(_ database: Database, clock: NodeClock) {
        self.database = database
        self.clock = clock
    }

    /// Slots that hold only what has expired, at `now`: all but the present one and those of the horizon ahead, which
    /// spans eight of them and a begun ninth.
    package static func spentSlots(now: Instant, horizonSeconds: Int64) -> [Int16] {
        let width = (horizonSeconds + 7) / 8
        let present = now.seconds / width
        return (10...15).map { Int16((present + $0) % 16) }
    }

    /// Empties what can be emptied; returns how many slots were.
    ///
    /// - Parameter leaving: told of each that holds nothing alive and stays: nil where somebody else reads or writes it,
    ///   else what went wrong. The others are emptied all the same.
    package func emptySpentSlots(leaving: (Int16, (any Error)?) -> Void = { _, _ in }) async throws -> Int {
        let begun = BootInstant.now()
        let horizon = try await database.query(RevocationSQL.horizon).one()
        let reading = try ClockReading(horizon)
        let sample = SteadyClock.Sample(
            raw: try horizon.decode("raw"), reading: reading, begun: begun, ended: .now())
        guard clock.agrees(with: sample) else { return 0 }
        var emptied = 0
        for slot in Self.spentSlots(now: reading.settled, horizonSeconds: try horizon.decode("seconds")) {
            do {
                // What has expired by that instant has whatever the clock does from here on.
                guard let last = try await lastRow(in: slot, expiredAt: reading.settled) else { continue }
                switch try await empty(slot, lookedThroughTo: last) {
                case .emptied: emptied += 1
                case .alive: break
                case .locked: leaving(slot, nil)
                }
            } catch {
                if Task.isCancelled { throw error }
                leaving(slot, error)
            }
        }
        return emptied
    }

    /// Looked through before the lock, under which every revocation and every reading of the list waits: of millions of
    /// rows, and where something is alive there is no lock at all.
    ///
    /// - Returns: nil where there is nothing, or something alive.
    private func lastRow(in slot: Int16, expiredAt instant: Instant) async throws(PostgresError) -> Int64? {
        let content = try await database.lease(timeout: Self.scanTimeout) { lease throws(PostgresError) in
            try await lease.query(RevocationSQL.content(slot: slot, at: instant))
        }.one()
        if try content.decode("is_alive", as: Bool.self) { return nil }
        return try content.decodeIfPresent("last", as: Int64.self)
    }

    /// Nanoseconds.
    private static let scanTimeout: Int64 = 60_000_000_000

    enum Emptying { case emptied, alive, locked }

    /// - Parameter last: up to there all has expired. Rows are committed in the order of their positions, so what has come
    ///   since stands behind it, and lives.
    func empty(_ slot: Int16, lookedThroughTo last: Int64) async throws -> Emptying {
        do {
            return try await database.transaction { transaction in
                let results = try await transaction.batch([
                    RevocationSQL.lock(slot: slot), RevocationSQL.hasRows(slot: slot, after: last),
                ])
                guard try results[1].one().decode("found", as: Bool.self) == false else { return .alive }
                try await transaction.commit([RevocationSQL.empty(slot: slot)])
                return .emptied
            }
        } catch let error as PostgresError where error.sqlState == "55P03" {
            return .locked  // lock_not_available: somebody reads it now; the next round will do
        }
    }

    /// Rows of positions that nobody may come back with, and of nodes that are gone.
    package func forgetOld() async throws {
        // As many as were made in a minute, or they would pile up.
        for _ in 0..<1000 where try await database.query(RevocationSQL.forgetOldBatches).affected < 1000 { break }
        try await database.query(RevocationSQL.forgetOldNodes)
    }
}
