import Postgres
import Synchronization

/// Slots on their way back, in a lane of their own. Those whose call failed are owed and go with the next, or within a
/// minute: giving back twice is harmless, since a slot is named by its bucket and its instant.
final class GuessReturns: Sendable {
    /// A slot leaves by itself after 15 minutes, so the oldest debts are the first to be forgotten.
    private static let mostOwed = 10_000

    private let database: Database
    private let owed: Debts
    private let lane: GuessLane<GuessSlot, Void>

    /// Slots that could not be given back yet.
    private final class Debts: Sendable {
        private let slots = Mutex<[GuessSlot]>([])

        func add(_ more: [GuessSlot]) {
            slots.withLock { slots in
                slots += more
                slots.removeFirst(max(0, slots.count - GuessReturns.mostOwed))
            }
        }

        func take() -> [GuessSlot] {
            slots.withLock { slots in
                let taken = Array(slots.prefix(128))
                slots.removeFirst(taken.count)
                return taken
            }
        }
    }

    init(_ database: Database) {
        self.database = database
        let owed = Debts()
        self.owed = owed
        lane = GuessLane(patience: .nanoseconds(Guesses.half(of: database))) { slots throws(PostgresError) in
            try await Self.send(slots + owed.take(), owed, database)
            return slots.map { _ in () }
        }
    }

    /// Not waited for by a request that has little time left: it is owed then.
    func giveBack(_ slot: GuessSlot) async {
        let half = Guesses.half(of: database)
        guard Patience.current.map({ $0.bounded(half) == half }) ?? true else { return owe(slot) }
        do { try await lane.answer(to: slot) } catch { owe(slot) }
    }

    /// To be given back with the next call: whoever met a database that is away waits for it no longer. Twice does no harm.
    func owe(_ slot: GuessSlot) {
        owed.add([slot])
    }

    /// - Throws: `PostgresError` where the debts still cannot be settled.
    func settle() async throws(PostgresError) {
        while case let slots = owed.take(), !slots.isEmpty { try await Self.send(slots, owed, database) }
    }

    private static func send(_ slots: [GuessSlot], _ owed: Debts, _ database: Database) async throws(PostgresError) {
        do throws(PostgresError) {
            // Also for a caller who has hung up, and for others.
            try await database.query(
                GuessSQL.giveBack(slots.flatMap { slot in slot.keys.map { ($0, slot.takenAt) } }),
                timeout: Guesses.half(of: database), cancellation: .ignored)
        } catch {
            owed.add(slots)
            throw error
        }
    }
}
