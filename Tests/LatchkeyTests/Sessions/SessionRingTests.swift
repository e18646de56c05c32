import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite("The ring of sessions")
struct SessionRingTests {
    private static let lifetimes: [Int64] = [60, 3600, 86_400, 1_209_600, 7_776_000, 8_467_200, 8_467_201, 315_360_000]

    @Test("never empties a slot in which a session may live", arguments: lifetimes)
    func spentSlotIsSpent(maxTTL: Int64) {
        let policy = SessionPolicy(idleTTL: 60, maxTTL: maxTTL, grace: 30, recovery: 60)
        var generator = SeededGenerator(seed: UInt64(maxTTL))
        var lost: [String] = []
        for _ in 0..<10_000 {
            let born = Instant(
                microseconds: .random(in: 1_600_000_000_000_000...4_000_000_000_000_000, using: &generator))
            // Every moment at which it lives, the first, the last and those beside a slot's border among them.
            let age = Int64.random(in: 0...maxTTL, using: &generator)
            let border = (born.seconds / policy.slotWidth + age / policy.slotWidth) * policy.slotWidth
            for now in [born, born + age, born + maxTTL, Instant(seconds: border), Instant(seconds: border - 1)]
            where now >= born && now <= born + maxTTL
                && SessionRing.spentSlot(now: now, policy: policy) == policy.slot(bornAt: born)
            {
                lost.append("born \(born), emptied \(now)")
            }
        }
        #expect(lost.first == nil)
    }

    @Test("comes to every slot in its turn, before it is used again", arguments: lifetimes)
    func everySlotIsSpentBeforeItsTurn(maxTTL: Int64) {
        let policy = SessionPolicy(idleTTL: 60, maxTTL: maxTTL, grace: 30, recovery: 60)
        let start = Instant(seconds: 1_700_000_000)
        for turn in 0..<16 {
            let now = start + Int64(turn) * policy.slotWidth
            #expect(SessionRing.spentSlot(now: now, policy: policy) == policy.slot(bornAt: now + policy.slotWidth))
            #expect((0..<16).contains(policy.slot(bornAt: now)))
        }
    }

    @Test("is wide enough that 14 slots hold the longest life, and never narrower than a week", arguments: lifetimes)
    func width(maxTTL: Int64) {
        let policy = SessionPolicy(idleTTL: 60, maxTTL: maxTTL, grace: 30, recovery: 60)
        #expect(policy.slotWidth * 14 >= maxTTL)
        #expect(policy.slotWidth >= 7 * 86_400)
    }
}
