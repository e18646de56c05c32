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
    /// - Parameter leaving: told of each that somebody else reads or writes.
    package func emptySpentSlots(leaving: (Int16) -> Void = { _ in }) async throws -> Int {
        let horizon = try await database.query(RevocationSQL.horizon).one()
        let slots = Self.spentSlots(now: try horizon.decode("now"), horizonSeconds: try horizon.decode("seconds"))
        var emptied = 0
        for slot in slots {
            guard try await database.query(RevocationSQL.hasRows(slot: slot)).one().decode("found", as: Bool.self)
            else {
                continue
            }
            switch try await empty(slot) {
            case .emptied: emptied += 1
            case .alive: break
            case .locked: leaving(slot)
            }
        }
        return emptied
    }

    private enum Emptying { case emptied, alive, locked }

    private func empty(_ slot: Int16) async throws -> Emptying {
        do {
            return try await database.transaction { transaction in
                let begun = BootInstant.now()
                let row = try await transaction.batch([
                    RevocationSQL.lock(slot: slot), RevocationSQL.hasLive(slot: slot),
                ])[1].one()
                let sample = SteadyClock.Sample(
                    raw: try row.decode("raw"), reading: try ClockReading(row), begun: begun, ended: .now())
                guard try row.decode("found", as: Bool.self) == false, clock.agrees(with: sample) else { return .alive }
                try await transaction.commit([RevocationSQL.empty(slot: slot)])
                return .emptied
            }
        } catch let error as PostgresError where error.sqlState == "55P03" {
            return .locked  // lock_not_available: somebody reads it now; the next round will do
        }
    }

    /// Rows of the last day's positions and of nodes that are gone.
    package func forgetOld() async throws {
        // As many as were made in a minute, or they would pile up.
        for _ in 0..<1000 where try await database.query(RevocationSQL.forgetOldBatches).affected < 1000 { break }
        try await database.query(RevocationSQL.forgetOldNodes)
    }
}
