import Testing

@testable import Latchkey

@Suite("The identity of a history")
struct HistoryIdentityTests {
    private static let stored = "7300000000000000001:00000001:16384:16500"

    /// Each: what the database is now, what was promised, the evidence, and what follows.
    static let table: [(String, String, String, HistoryIdentity.Continuity, HistoryIdentity.Decision)] = [
        (stored, "lossy", "", .continued, .same), (stored, "synchronous", "s1", .broken, .same),
        // A standby took over.
        ("7300000000000000001:00000002:16384:16500", "lossy", "", .continued, .begin),
        ("7300000000000000001:00000002:16384:16500", "lossy", "s1", .continued, .begin),
        ("7300000000000000001:00000002:16384:16500", "synchronous", "", .continued, .begin),
        ("7300000000000000001:00000002:16384:16500", "synchronous", "s1", .broken, .begin),
        ("7300000000000000001:00000002:16384:16500", "synchronous", "s1", .continued, .adopt),
        // Another cluster, database or table: a restore, a clone, a dump.
        ("7300000000000000002:00000001:16384:16500", "synchronous", "s1", .continued, .begin),
        ("7300000000000000002:00000002:16384:16500", "synchronous", "s1", .continued, .begin),
        ("7300000000000000001:00000001:16385:16500", "synchronous", "s1", .continued, .begin),
        ("7300000000000000001:00000001:16384:16501", "synchronous", "s1", .continued, .begin),
        ("7300000000000000001:00000002:16384:16501", "synchronous", "s1", .continued, .begin),
        ("", "synchronous", "s1", .continued, .begin),
    ]

    @Test(arguments: table.indices) func `decides whether the list begins anew`(index: Int) {
        let (present, failover, standbys, continuity, decision) = Self.table[index]
        #expect(
            HistoryIdentity.decide(
                stored: HistoryIdentity(Self.stored), present: HistoryIdentity(present), failover: failover,
                standbys: standbys, continuity: continuity) == decision)
    }

    @Test func `is taken as it is where nobody has looked yet`() {
        #expect(
            HistoryIdentity.decide(
                stored: nil, present: HistoryIdentity(Self.stored), failover: "lossy", standbys: "",
                continuity: .continued) == .adopt)
    }
}
