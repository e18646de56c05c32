import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite("The ring of revocations")
struct RevocationRingTests {
    /// As the statement computes it: `floor(expires_at / ceil(horizon / 8)) % 16`.
    private static func slot(_ expiry: Instant, _ horizon: Int64) -> Int16 {
        Int16(expiry.seconds / ((horizon + 7) / 8) % 16)
    }

    private static let horizons: [Int64] = [301, 302, 303, 307, 308, 900, 3900, 86_700]

    @Test("never calls a slot spent that holds an entry which is alive", arguments: horizons)
    func spentSlotsAreSpent(horizon: Int64) {
        var generator = SeededGenerator(seed: UInt64(horizon))
        var lost: [String] = []
        for _ in 0..<10_000 {
            let now = Instant(
                microseconds: .random(in: 1_600_000_000_000_000...4_000_000_000_000_000, using: &generator))
            // Alive now: it expires later than now, and was written at most the horizon before.
            let left = Int64.random(in: 1...horizon * 1_000_000, using: &generator)
            for expiry in [left, 1, horizon * 1_000_000].map({ Instant(microseconds: now.microseconds + $0) })
            where RevocationRing.spentSlots(now: now, horizonSeconds: horizon).contains(Self.slot(expiry, horizon)) {
                lost.append("expires \(expiry), emptied \(now)")
            }
        }
        #expect(lost.first == nil)
    }

    @Test("calls each slot spent before new entries reach it", arguments: horizons)
    func everySlotIsSpent(horizon: Int64) {
        let width = (horizon + 7) / 8
        for turn in 0..<16 {
            let now = Instant(seconds: 1_700_000_000 + Int64(turn) * width)
            let slots = RevocationRing.spentSlots(now: now, horizonSeconds: horizon)
            #expect(Set(slots).count == slots.count)
            #expect(slots.allSatisfy { (0..<16).contains($0) })
            // The next slot that an entry of the whole horizon enters.
            #expect(slots.contains(Self.slot(now + 10 * width, horizon)))
        }
    }
}
