import JOSE
import Postgres
import Testing

@testable import Latchkey

@Suite("The refresh decision")
struct RefreshDecisionTests {
    /// A session at an instant, and who presents what. Ages in microseconds, policy in seconds.
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var presented: Int64 = 5
        var expected: RefreshDecision
        var issuedAge: Int64 = 0
        var confirmedAge: Int64 = 0
        var idleLeft: Int64 = 1
        var maxLeft: Int64 = 1
        var isEnded = false
        var clientID = "first-party"
        var fence: Int64 = 7
        var installationFence: Int64 = 7
        var grace: Int64 = 30
        var recovery: Int64 = 600

        init(_ name: String, _ expected: RefreshDecision, _ change: (inout Case) -> Void = { _ in }) {
            testDescription = name
            self.expected = expected
            change(&self)
        }
    }

    /// A session whose generation is 5 and whose last used one is 3: 4 was voided by a Recover.
    private func decide(_ it: Case) -> RefreshDecision {
        let now = Instant(microseconds: 1_700_000_000_000_000)
        func before(_ age: Int64) -> Instant { Instant(microseconds: now.microseconds - age) }
        let session = Session(
            sid: .version7(millisecondsSince1970: 0, random: [UInt8](repeating: 0, count: 10)), clientID: "first-party",
            generation: 5, confirmed: 3, confirmedAt: before(it.confirmedAge), issuedAt: before(it.issuedAge),
            idleUntil: before(-it.idleLeft), maxUntil: before(-it.maxLeft), endedAt: it.isEnded ? now : nil)
        return RefreshDecision.decide(
            session, generation: it.presented, clientID: it.clientID, fence: it.fence,
            installationFence: it.installationFence,
            policy: SessionPolicy(idleTTL: 600, maxTTL: 6000, grace: it.grace, recovery: it.recovery), now: now)
    }

    private static let second: Int64 = 1_000_000

    static let live = [
        Case("1: the newest advances", .advance),
        Case("1: the newest advances however old it is", .advance) {
            $0.issuedAge = .max / 4
            $0.confirmedAge = .max / 4
        },
        Case("1: the newest advances under the strict rule", .advance) {
            $0.grace = 0
            $0.recovery = 0
        },
        Case("2: the last used is answered again at once", .repeat) { $0.presented = 3 },
        Case("2: … to the last microsecond of the grace", .repeat) {
            $0.presented = 3
            $0.issuedAge = 30 * second - 1
        },
        Case("2: … where the clock stepped back", .repeat) {
            $0.presented = 3
            $0.issuedAge = -3600 * second
        },
        Case("2: … where it was used long ago, but its successor issued just now", .repeat) {
            $0.presented = 3
            $0.issuedAge = 1
            $0.confirmedAge = 601 * second
        },
        Case("3: a new successor when the grace is over", .recover) {
            $0.presented = 3
            $0.issuedAge = 30 * second
            $0.confirmedAge = 30 * second
        },
        Case("3: … to the last microsecond of the recovery", .recover) {
            $0.presented = 3
            $0.issuedAge = 600 * second
            $0.confirmedAge = 600 * second - 1
        },
        Case("3: … where the clock stepped back behind its use", .recover) {
            $0.presented = 3
            $0.issuedAge = 31 * second
            $0.confirmedAge = -3600 * second
        },
        Case("3: … at once without a grace", .recover) {
            $0.presented = 3
            $0.grace = 0
        },
        Case("4: the next generation is from a lost history", .rollback) { $0.presented = 6 },
        Case("4: the greatest is too", .rollback) { $0.presented = 4_294_967_295 },
        Case("5: the last used is void when the recovery is over", .void) {
            $0.presented = 3
            $0.issuedAge = 600 * second
            $0.confirmedAge = 600 * second
        },
        Case("5: … at once under the strict rule", .void) {
            $0.presented = 3
            $0.grace = 0
            $0.recovery = 0
        },
        Case("5: … under the strict rule where the clock stepped back", .void) {
            $0.presented = 3
            $0.grace = 0
            $0.recovery = 0
            $0.issuedAge = -second
            $0.confirmedAge = -second
        },
        Case("5: … after the grace without a recovery", .void) {
            $0.presented = 3
            $0.recovery = 0
            $0.issuedAge = 30 * second
            $0.confirmedAge = 30 * second
        },
        Case("5: the voided successor is void, however young", .void) { $0.presented = 4 },
        Case("5: one before the last used is void", .void) { $0.presented = 2 },
        Case("5: the first is void", .void) { $0.presented = 1 },
        Case("5: token 0, which is never minted, is void", .void) { $0.presented = 0 },
    ]

    @Test("follows the table, row by row and at each border", arguments: live)
    func followsTheTable(it: Case) {
        #expect(decide(it) == it.expected)
    }

    static let refusals: [(String, @Sendable (inout Case) -> Void)] = [
        ("another client", { $0.clientID = "another" }),
        ("no client", { $0.clientID = "" }),
        // U+212A KELVIN SIGN and the like: canonically equal texts are different clients.
        ("a client that is canonically equal", { $0.clientID = "first-party\u{301}" }),
        ("the session ended", { $0.isEnded = true }),
        ("idle for exactly as long as allowed", { $0.idleLeft = 0 }),
        ("idle for longer", { $0.idleLeft = -1 }),
        ("exactly as old as allowed", { $0.maxLeft = 0 }),
        ("older", { $0.maxLeft = -1 }),
        ("a fence of before the restore", { $0.fence = 6 }),
        ("a fence that the installation has not reached", { $0.fence = 8 }),
        ("the installation's fence was raised", { $0.installationFence = 8 }),
    ]

    @Test(
        "refuses and writes nothing, whichever token is presented", arguments: refusals,
        [0, 1, 2, 3, 4, 5, 6, 4_294_967_295] as [Int64])
    func refuses(refusal: (name: String, change: @Sendable (inout Case) -> Void), presented: Int64) {
        let it = Case(refusal.name, .refuse) {
            $0.presented = presented
            refusal.change(&$0)
        }
        #expect(decide(it) == .refuse, "\(refusal.name)")
    }

    @Test("tells canonically equal client ids apart by their bytes")
    func clientByBytes() {
        let now = Instant(seconds: 1_700_000_000)
        let session = Session(
            sid: .version7(millisecondsSince1970: 0, random: [UInt8](repeating: 0, count: 10)), clientID: "caf\u{E9}",
            generation: 2, confirmed: 1, confirmedAt: now, issuedAt: now, idleUntil: now + 1, maxUntil: now + 1,
            endedAt: nil)
        func decide(_ client: String) -> RefreshDecision {
            RefreshDecision.decide(
                session, generation: 2, clientID: client, fence: 1, installationFence: 1,
                policy: SessionPolicy(idleTTL: 1, maxTTL: 1, grace: 1, recovery: 1), now: now)
        }
        #expect(decide("caf\u{E9}") == .advance)
        #expect("cafe\u{301}" == "caf\u{E9}")
        #expect(decide("cafe\u{301}") == .refuse)
    }
}
