import Testing

@testable import Latchkey

@Suite("The identity of a history")
struct HistoryIdentityTests {
    private static let stored = "7300000000000000001:00000001:16384:16500"

    /// Each: what the database is now, what was promised, the evidence, and what follows.
    static let table: [(String, String, String, HistoryIdentity.Continuity, HistoryIdentity.Decision)] = [
        (stored, "lossy", "", .continued, .same), (stored, "synchronous", "s1", .broken, .same),
        // The name is the same, and commits are gone: a volume that was set back.
        (stored, "lossy", "", .lost, .begin), (stored, "synchronous", "s1", .lost, .begin),
        ("7300000000000000001:00000002:16384:16500", "synchronous", "s1", .lost, .begin),
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

    @Test(arguments: [
        ("1:00000001:5:6", true), ("1:00000002:5:6", false), ("1:00000003:5:6", false), ("1:0000000A:5:6", false),
        ("2:00000001:5:6", false), ("1:00000001:5:7", false), ("1:00000001:7:6", false), ("1:zzz:5:6", false),
        ("", false),
    ]) func `is an earlier one on an earlier timeline of the same database alone`(text: String, isEarlier: Bool) {
        #expect(HistoryIdentity(text).isEarlier(than: HistoryIdentity("1:00000002:5:6")) == isEarlier)
    }

    @Test func `of timelines is told by their numbers, not their texts`() {
        #expect(HistoryIdentity("1:00000009:5:6").isEarlier(than: HistoryIdentity("1:0000000A:5:6")))
        #expect(HistoryIdentity("1:000000FF:5:6").isEarlier(than: HistoryIdentity("1:00000100:5:6")))
    }

    @Test func `is taken as it is where nobody has looked yet`() {
        #expect(
            HistoryIdentity.decide(
                stored: nil, present: HistoryIdentity(Self.stored), failover: "lossy", standbys: "",
                continuity: .continued) == .adopt)
    }
}
