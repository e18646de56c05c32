import Testing

@testable import Postgres

@Suite("Pauses between attempts")
struct BackoffTests {
    /// The pauses after one failure, two, …, in milliseconds.
    private func pauses(_ count: Int, chance: UInt64) -> [Int64] {
        var backoff = Backoff()
        return (0..<count).map { _ in
            backoff.failed(now: 7_000, chance: chance)
            return (backoff.notBefore - 7_000) / 1_000_000
        }
    }

    @Test func `Before the first failure there is none`() {
        #expect(Backoff().notBefore == 0)
    }

    @Test func `Each is twice as long as the last, up to a second`() {
        #expect(pauses(8, chance: 0) == [50, 100, 200, 400, 800, 1000, 1000, 1000])
    }

    @Test func `Chance cuts up to a half of each and never more`() {
        for failures in 1...8 {
            let whole = pauses(failures, chance: 0)[failures - 1]
            let drawn = (0..<1000).map { _ in pauses(failures, chance: .random(in: .min ... .max))[failures - 1] }
            #expect(drawn.allSatisfy { whole / 2 <= $0 && $0 <= whole })
            #expect(Set(drawn).count > 20)
        }
        #expect(pauses(1, chance: 25_000_000) == [25])
    }

    @Test func `After thousands of failures it is still a second`() {
        #expect(pauses(10_000, chance: 0).last == 1000)
    }

    @Test func `After a success it begins anew`() {
        var backoff = Backoff()
        for _ in 0..<5 { backoff.failed(now: 0, chance: 0) }
        backoff.succeeded()
        #expect(backoff.notBefore == 0)
        backoff.failed(now: 0, chance: 0)
        #expect(backoff.notBefore == 50_000_000)
    }
}
