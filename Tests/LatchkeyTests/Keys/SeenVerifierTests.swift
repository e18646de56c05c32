import Postgres
import Testing

@testable import Latchkey

@Suite struct SeenVerifierTests {
    static let day: Int64 = 86_400

    /// Seconds since it came, what it holds, and whether a rotation to "b" waits for it.
    static let cases: [(Int64, [String], Bool)] = [
        (0, ["a"], true), (0, [], true), (0, ["a", "b"], false), (0, ["B", "b "], true), (day - 1, ["a"], true),
        (day, ["a"], false), (30 * day, [], false), (day - 1, ["b"], false),
        // Of the future, where the clock was set back.
        (-3600, ["a"], true),
    ]

    @Test(arguments: cases)
    func `Who has come within a day and does not hold the key is waited for`(
        age: Int64, kids: [String], isWaitedFor: Bool
    ) {
        let now = Instant(seconds: 1_790_000_000)
        let verifier = SeenVerifier(name: "orders", seenAt: now - age, fetches: 1, kids: kids, source: .report)
        #expect(SeenVerifier.without("b", among: [verifier], now: now) == (isWaitedFor ? [verifier] : []))
    }
}
