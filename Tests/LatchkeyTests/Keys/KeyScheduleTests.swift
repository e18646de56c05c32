import JOSE
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

/// Keys that exist in these tests alone, named by their `kid`; all share one public half, which no decision looks at.
struct DrawnKey: Sendable {
    static let now = Instant(seconds: 1_700_000_000)
    private static let publicKeys = Result {
        try Dictionary(
            uniqueKeysWithValues: [SignatureAlgorithm.rs256, .es256].map { algorithm in
                (algorithm, JSONWebKey(try PrivateKey.generate(algorithm).publicKey))
            })
    }

    static func publicKey(_ algorithm: SignatureAlgorithm) throws -> JSONWebKey {
        try #require(try publicKeys.get()[algorithm])
    }

    var kid: String
    /// Seconds from `now`; nil: unset.
    var created: Int64 = -10_000
    var published: Int64?
    var activates: Int64?
    var retires: Int64?
    var leaves: Int64?
    var removed: Int64?
    var compromised: Int64?
    var isFounding = false
    var algorithm = SignatureAlgorithm.rs256
    var isSealed = true

    func key() throws -> SigningKey {
        func at(_ offset: Int64?) -> Instant? { offset.map { Self.now + $0 } }
        return SigningKey(
            kid: kid, publicKey: try Self.publicKey(algorithm), sealed: isSealed ? [1] : nil, masterKeyVersion: 1,
            isFounding: isFounding,
            createdAt: Self.now + created, publishedAt: at(published), activatesAt: at(activates),
            retiresAt: at(retires), leavesAt: at(leaves),
            removedAt: at(removed), compromisedAt: at(compromised))
    }
}

@Suite("The key schedule")
struct KeyScheduleTests {
    private static let policy = KeyPolicy(publishLead: 3600, maxAge: 300, leeway: 30)

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var from = "signer"
        let keys: [DrawnKey]
        let expected: KeySchedule.Rotation
    }

    private static let signer = DrawnKey(kid: "signer", published: -9000, activates: -5000)
    private static func standby(_ kid: String, _ published: Int64?, isFounding: Bool = false, created: Int64 = -9000)
        -> DrawnKey
    {
        DrawnKey(kid: kid, created: created, published: published, isFounding: isFounding)
    }
    private static let soon = DrawnKey.now + KeySchedule.activationDelay

    static let cases = [
        Case(
            testDescription: "a ripe standby signs two seconds from now",
            keys: [signer, standby("a", -3600)], expected: .rotate(from: "signer", to: "a", at: soon)),
        Case(
            testDescription: "of two ripe standbys the one that ripened first",
            keys: [signer, standby("late", -3700), standby("early", -3800)],
            expected: .rotate(from: "signer", to: "early", at: soon)),
        Case(
            testDescription: "of two that ripened at once the one born first",
            keys: [signer, standby("b", -3700, created: -8000), standby("a", -3700, created: -8001)],
            expected: .rotate(from: "signer", to: "a", at: soon)),
        Case(
            testDescription: "of two twins the lesser kid, so that all nodes choose alike",
            keys: [signer, standby("b", -3700), standby("a", -3700)],
            expected: .rotate(from: "signer", to: "a", at: soon)),
        Case(
            testDescription: "a standby is not ripe a second before its lead has passed",
            keys: [signer, standby("a", -3599)], expected: .noRipeStandby(ripeAt: DrawnKey.now + 1)),
        Case(
            testDescription: "the first to ripen is named",
            keys: [signer, standby("b", -100), standby("a", -200), standby("c", nil)],
            expected: .noRipeStandby(ripeAt: DrawnKey.now + 3400)),
        Case(
            testDescription: "an unstamped standby is not ripe, however old",
            keys: [signer, standby("a", nil, created: -100_000)], expected: .noRipeStandby(ripeAt: nil)),
        Case(
            testDescription: "a founding key is ripe at its stamp",
            keys: [signer, standby("a", 0, isFounding: true)], expected: .rotate(from: "signer", to: "a", at: soon)),
        Case(
            testDescription: "an unstamped founding key is not",
            keys: [signer, standby("a", nil, isFounding: true)], expected: .noRipeStandby(ripeAt: nil)),
        Case(testDescription: "no standby at all", keys: [signer], expected: .noRipeStandby(ripeAt: nil)),
        Case(testDescription: "no key at all", keys: [], expected: .noRipeStandby(ripeAt: nil)),
        Case(
            testDescription: "a compromised standby is passed over",
            keys: [
                signer, DrawnKey(kid: "bad", published: -9000, compromised: -1), standby("good", -3600),
            ], expected: .rotate(from: "signer", to: "good", at: soon)),
        Case(
            testDescription: "two at once make one: the second finds the key that the first chose",
            keys: [
                DrawnKey(kid: "signer", published: -9000, activates: -5000, retires: 2, removed: 700),
                DrawnKey(kid: "next", published: -4000, activates: 2), standby("b", -3700),
            ], expected: .alreadyRotated(to: "next", at: soon)),
        Case(
            testDescription: "an older signer was rotated away from long ago", from: "older",
            keys: [
                DrawnKey(kid: "older", published: -90_000, activates: -80_000, retires: -5000, removed: -4000), signer,
                standby("b", -3700),
            ], expected: .alreadyRotated(to: "signer", at: DrawnKey.now - 5000)),
        Case(
            testDescription: "an unknown key", from: "nobody", keys: [signer, standby("a", -3600)],
            expected: .unknownKey),
        Case(
            testDescription: "a standby cannot be rotated away from", from: "a", keys: [signer, standby("a", -3600)],
            expected: .unknownKey),
        Case(
            testDescription: "a kid that equals the signer's canonically, yet not by its bytes (KELVIN SIGN)",
            from: "\u{212A}", keys: [DrawnKey(kid: "K", published: -9000, activates: -5000), standby("a", -3600)],
            expected: .unknownKey),
        Case(
            testDescription: "a key that is itself about to begin signs first",
            keys: [DrawnKey(kid: "signer", published: -9000, activates: 5), standby("a", -3600)],
            expected: .rotate(from: "signer", to: "a", at: DrawnKey.now + 5)),
    ]

    @Test("decides a rotation", arguments: cases)
    func rotation(it: Case) throws {
        let keys = try it.keys.map { try $0.key() }
        for keys in [keys, keys.reversed()] {
            #expect(
                KeySchedule.rotation(keys, from: it.from, policy: Self.policy, clock: ClockReading(now: DrawnKey.now))
                    == it.expected)
        }
    }

    @Test("decides a second rotation on the outcome of the first: one key, one instant")
    func twoAtOnce() throws {
        var drawn = [Self.signer, Self.standby("a", -3800), Self.standby("b", -3700)]
        let first = KeySchedule.rotation(
            try drawn.map { try $0.key() }, from: "signer", policy: Self.policy, clock: ClockReading(now: DrawnKey.now))
        #expect(first == .rotate(from: "signer", to: "a", at: Self.soon))
        drawn[0].retires = 2
        drawn[1].activates = 2
        let second = KeySchedule.rotation(
            try drawn.map { try $0.key() }, from: "signer", policy: Self.policy,
            clock: ClockReading(now: DrawnKey.now + 1))
        #expect(second == .alreadyRotated(to: "a", at: Self.soon))
        // And one more on purpose, for the day the new key leaks at once: it names the new key.
        let third = KeySchedule.rotation(
            try drawn.map { try $0.key() }, from: "a", policy: Self.policy, clock: ClockReading(now: DrawnKey.now + 1))
        #expect(third == .rotate(from: "a", to: "b", at: DrawnKey.now + 3))
    }

    @Test("has exactly one signer at every instant around a rotation")
    func oneSigner() throws {
        let keys = try [
            DrawnKey(kid: "old", published: -9000, activates: -5000, retires: 2, removed: 700),
            DrawnKey(kid: "new", published: -4000, activates: 2), Self.standby("next", -3700),
        ].map { try $0.key() }
        for offset: Int64 in -3_000_000...3_000_000 where offset % 500_000 == 0 || abs(offset - 2_000_000) < 2 {
            let instant = Instant(microseconds: DrawnKey.now.microseconds + offset)
            #expect(keys.filter { $0.state(at: instant) == .active }.count == 1)
            #expect(
                KeySchedule.signer(keys, at: instant, algorithm: .rs256)?.kid == (offset < 2_000_000 ? "old" : "new"))
        }
        #expect(KeySchedule.signer([], at: DrawnKey.now, preferring: .rs256) == nil)
    }

    @Test("counts a verifier's cache, its clock and the two seconds before the change into the lead")
    func lead() {
        #expect(Self.policy.shortestLead == 300 + 30 + 2)
        #expect(Self.policy.longestRingAge == 3600 - 300 - 30)
        // 54 minutes and a half: that long the JWKS survives the database.
        #expect(Self.policy.longestRingAge / 60 == 54)
    }
}

@Suite("A signing key's state")
struct SigningKeyStateTests {
    static let cases: [(String, DrawnKey, SigningKeyState)] = [
        ("unstamped", DrawnKey(kid: "k"), .published),
        ("stamped", DrawnKey(kid: "k", published: -1), .published),
        ("about to sign", DrawnKey(kid: "k", published: -1, activates: 1), .published),
        ("signing from now on", DrawnKey(kid: "k", published: -1, activates: 0), .active),
        (
            "signing to the last second", DrawnKey(kid: "k", published: -2, activates: -1, retires: 1, removed: 2),
            .active
        ),
        ("retiring now", DrawnKey(kid: "k", published: -2, activates: -1, retires: 0, removed: 2), .retired),
        ("retired", DrawnKey(kid: "k", published: -3, activates: -2, retires: -1, removed: 1), .retired),
        ("removed now", DrawnKey(kid: "k", published: -3, activates: -2, retires: -1, removed: 0), .removed),
        ("compromised while signing", DrawnKey(kid: "k", published: -3, activates: -2, compromised: 0), .compromised),
        (
            "compromised after it was removed",
            DrawnKey(kid: "k", published: -3, activates: -3, retires: -2, removed: -1, compromised: 0), .compromised
        ),
        ("compromised while a standby", DrawnKey(kid: "k", published: -3, compromised: -1), .compromised),
    ]

    @Test("is read off the clock", arguments: cases)
    func state(name: String, drawn: DrawnKey, expected: SigningKeyState) throws {
        let key = try drawn.key()
        #expect(key.state(at: DrawnKey.now) == expected, "\(name)")
        #expect(key.isInJWKS(at: DrawnKey.now) == [.published, .active, .retired].contains(expected), "\(name)")
    }

    static let ripeness: [(String, DrawnKey, Int64?)] = [
        ("unstamped", DrawnKey(kid: "k"), nil),
        ("unstamped and founding", DrawnKey(kid: "k", isFounding: true), nil),
        ("stamped", DrawnKey(kid: "k", published: -10), 50),
        ("founding", DrawnKey(kid: "k", published: -10, isFounding: true), -10),
    ]

    @Test("is ripe a lead after its stamp; at its stamp where no JWKS without it was ever served", arguments: ripeness)
    func ripeAt(name: String, drawn: DrawnKey, expected: Int64?) throws {
        #expect(try drawn.key().ripeAt(lead: 60) == expected.map { DrawnKey.now + $0 }, "\(name)")
    }

    @Test(
        "is a standby until it is chosen or compromised",
        arguments: [
            (DrawnKey(kid: "k"), true), (DrawnKey(kid: "k", published: -1), true),
            (DrawnKey(kid: "k", published: -1, activates: 100), false),
            (DrawnKey(kid: "k", published: -1, compromised: 0), false),
        ])
    func isStandby(drawn: DrawnKey, expected: Bool) throws {
        #expect(try drawn.key().isStandby == expected)
    }
}
