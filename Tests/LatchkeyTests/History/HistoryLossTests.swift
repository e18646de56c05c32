import JOSE
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

/// The decision alone: which keys go with a lost history, and who signs in their place.
@Suite("The keys of a lost history")
struct HistoryLossTests {
    private static let policy = KeyPolicy(publishLead: 3600, maxAge: 300, leeway: 30, lifetime: 600)
    private static let now = DrawnKey.now

    private static let signer = DrawnKey(kid: "signer", published: -9000, activates: -5000)
    private static let retired = DrawnKey(kid: "retired", published: -19000, activates: -9000, retires: -5000)
    private static let first = DrawnKey(kid: "first", published: -8000)
    private static let second = DrawnKey(kid: "second", published: -7000)

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let keys: [DrawnKey]
        var remembered: [DrawnKey] = []
        var unfit: [String] = []
        let leaving: Set<String>
        let signs: [String]
        var isMissing = false
        var unknown: [String] = []
    }

    static let cases = [
        Case(
            testDescription: "a node that remembers nothing spares no standby: another has to be made",
            keys: [signer, first, second], leaving: ["first", "second"], signs: [], isMissing: true),
        Case(
            testDescription: "a node that remembers spares the standbys that it knows as such",
            keys: [signer, retired, first, second], remembered: [signer, retired, first, second],
            leaving: ["signer", "retired"], signs: ["first"]),
        Case(
            testDescription: "a standby that has signed in the lost history goes",
            keys: [signer, first, second],
            remembered: [
                DrawnKey(kid: "signer", published: -9000, activates: -5000, retires: -10),
                DrawnKey(kid: "first", published: -8000, activates: -10), second,
            ], leaving: ["signer", "first"], signs: ["second"]),
        Case(
            testDescription: "one that was about to sign there stays: it never did",
            keys: [signer, first, second],
            remembered: [signer, DrawnKey(kid: "first", published: -8000, activates: 1), second],
            leaving: ["signer"], signs: ["first"]),
        Case(
            testDescription: "one that was compromised there goes",
            keys: [signer, first, second],
            remembered: [signer, DrawnKey(kid: "first", published: -8000, compromised: -10), second],
            leaving: ["signer", "first"], signs: ["second"]),
        Case(
            testDescription: "keys that were born there are refused, those that nobody held are not named",
            keys: [signer, first, second],
            remembered: [
                signer, first, second, DrawnKey(kid: "born", published: -10),
                DrawnKey(kid: "gone", published: -99_000, activates: -90_000, retires: -80_000, removed: -70_000),
            ], leaving: ["signer"], signs: ["first"], unknown: ["born"]),
        Case(
            testDescription: "what is compromised or has left already stays as it is",
            keys: [
                signer, first, second, DrawnKey(kid: "other", published: -9000, compromised: -10),
                DrawnKey(kid: "gone", published: -99_000, activates: -90_000, retires: -80_000, removed: -70_000),
            ], remembered: [signer, first, second], leaving: ["signer"], signs: ["first"]),
        Case(
            testDescription: "a standby that does not open takes nobody's place",
            keys: [signer, first, second], remembered: [signer, first, second], unfit: ["first"],
            leaving: ["signer"], signs: ["second"]),
        Case(
            testDescription: "without one that opens another has to be made",
            keys: [signer, first], remembered: [signer, first], unfit: ["first"], leaving: [], signs: [],
            isMissing: true),
        Case(testDescription: "an installation without keys has none to lose", keys: [], leaving: [], signs: []),
    ]

    @Test(arguments: cases) func `are all that may have signed`(it: Case) throws {
        let loss = HistoryLoss.decide(
            try it.keys.map { try $0.key() }, remembered: try it.remembered.map { try $0.key() }, unfit: it.unfit,
            policy: Self.policy, clock: ClockReading(now: Self.now))
        #expect(Set(loss.leaving.map(\.kid)) == it.leaving)
        #expect(loss.leaving.compactMap(\.change.takeover?.kid) == it.signs)
        #expect(loss.missing.isEmpty == !it.isMissing)
        #expect(loss.unknown == it.unknown)
    }

    @Test func `are followed by one that was made for it, at once`() throws {
        let loss = HistoryLoss.decide(
            try [Self.signer, Self.first, Self.second].map { try $0.key() }, remembered: [],
            fresh: [try DrawnKey(kid: "fresh").key()], policy: Self.policy, clock: ClockReading(now: Self.now))
        #expect(loss.missing == [])
        #expect(Set(loss.leaving.map(\.kid)) == ["signer", "first", "second"])
        #expect(
            loss.leaving.compactMap(\.change.takeover) == [
                .init(kid: "fresh", at: Self.now, standing: .unripe(ripeAt: nil))
            ])
    }
}
