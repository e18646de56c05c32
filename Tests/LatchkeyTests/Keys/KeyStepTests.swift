import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite struct `What the key schedule asks for` {
    /// Lead 3600, and 630 s from a key's last signature to its leaving.
    private static let policy = KeyPolicy(
        publishLead: 3600, maxAge: 300, leeway: 30, lifetime: 600, rotationInterval: 86_400)
    private static let soon = DrawnKey.now + KeySchedule.activationDelay

    private static func signer(_ kid: String = "signer", since: Int64 = -1000, retires: Int64? = nil) -> DrawnKey {
        DrawnKey(kid: kid, created: -200_000, published: -190_000, activates: since, retires: retires)
    }
    private static func standby(_ kid: String, _ published: Int64? = -4000) -> DrawnKey {
        DrawnKey(kid: kid, published: published)
    }
    private static let two = [standby("a"), standby("b")]
    private static let leaked = DrawnKey(kid: "x", published: -9000, activates: -9, retires: -5, compromised: -5)

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let keys: [DrawnKey]
        var algorithms: Set<SignatureAlgorithm> = [.rs256]
        /// Up to where the clock is believed; nil: to now.
        var settled: Int64?
        let expected: [KeySchedule.Step]

        init(
            _ description: String, _ keys: [DrawnKey], in algorithms: Set<SignatureAlgorithm> = [.rs256],
            settled: Int64? = nil, _ expected: [KeySchedule.Step]
        ) {
            testDescription = description
            self.keys = keys
            self.algorithms = algorithms
            self.settled = settled
            self.expected = expected
        }
    }

    static let cases: [Case] = [
        Case("nothing while a young key signs and two stand behind it", [signer()] + two, []),
        Case("nothing a second before the interval has passed", [signer(since: -86_399)] + two, []),
        Case(
            "a rotation when it has, with a new standby",
            [signer(since: -86_400)] + two, [.rotate(from: "signer", to: "a", at: soon), .publish(.rs256)]),
        Case(
            "a rotation after an idle month, and no more than one",
            [signer(since: -3_000_000)] + two, [.rotate(from: "signer", to: "a", at: soon), .publish(.rs256)]),
        Case(
            "no rotation without a ripe standby, however old the key",
            [signer(since: -3_000_000), standby("a", -3599), standby("b", -3599)], []),
        Case(
            "no rotation while the clock settles behind the interval",
            [signer(since: -86_400)] + two, settled: -1, []),
        Case(
            "no rotation to a standby that had not ripened before the step",
            [signer(since: -90_000), standby("a", -3600), standby("b", -3600)], settled: -1, []),
        Case(
            "what was due before the step stays due",
            [signer(since: -86_401)] + two, settled: -1,
            [.rotate(from: "signer", to: "a", at: soon), .publish(.rs256)]),
        Case("one standby where one is missing", [signer(), standby("a")], [.publish(.rs256)]),
        Case("two where both are", [signer()], [.publish(.rs256), .publish(.rs256)]),
        Case(
            "a standby in the place of a compromised one",
            [signer(), standby("a"), DrawnKey(kid: "b", published: -4000, compromised: -1)], [.publish(.rs256)]),
        Case("a stamp for what is read committed", [signer(), standby("a"), standby("b", nil)], [.stamp("b")]),
        Case("nothing for a key that is about to retire", [signer("x", retires: 1), signer(since: 1)] + two, []),
        Case(
            "a parting once the retirement is read, counted from there",
            [signer("x", since: -9000, retires: -500), signer(since: -500)] + two,
            [.part("x", leavesAt: DrawnKey.now + 632)]),
        Case(
            "no leaving before the last token is dead",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -8, leaves: 1), signer(since: -8)] + two, []),
        Case(
            "a leaving when it is",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -8, leaves: 0), signer(since: -8)] + two,
            [.remove("x", at: soon)]),
        Case(
            "no leaving while the clock settles",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -8, leaves: 0), signer(since: -8)] + two,
            settled: -1, []),
        Case(
            "nothing for a lead after it left",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -8, leaves: -7, removed: -3599), signer()] + two,
            []),
        Case(
            "a wiping then",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -8, leaves: -7, removed: -3600), signer()] + two,
            [.wipe("x")]),
        Case(
            "no wiping while the clock settles",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -8, leaves: -7, removed: -3600), signer()] + two,
            settled: -1, []),
        Case(
            "one wiping alone",
            [DrawnKey(kid: "x", activates: -9, retires: -8, removed: -9999, isSealed: false), signer()] + two, []),
        Case(
            "a day's regret for a compromised key",
            [DrawnKey(kid: "x", activates: -9, retires: -8, compromised: -86_399), signer()] + two, []),
        Case(
            "a wiping after it",
            [DrawnKey(kid: "x", activates: -9, retires: -8, compromised: -86_400), signer()] + two, [.wipe("x")]),
        Case(
            "three keys of an algorithm that comes into use, none of which signs yet",
            [signer()] + two, in: [.rs256, .es256], [.publish(.es256), .publish(.es256), .publish(.es256)]),
        Case(
            "its first signature once one has ripened",
            [signer()] + two
                + ["c", "d", "e"].map { DrawnKey(kid: $0, published: -3600, algorithm: .es256) },
            in: [.rs256, .es256], [.activate("c", at: soon)]),
        Case(
            "that the other signs on until then, though nobody's setting names it any more",
            [signer()] + two + ["c", "d", "e"].map { DrawnKey(kid: $0, published: -3599, algorithm: .es256) },
            in: [.es256], []),
        Case(
            "that it keeps its standbys until then",
            [signer(), standby("a")] + ["c", "d", "e"].map { DrawnKey(kid: $0, published: -9, algorithm: .es256) },
            in: [.es256], [.publish(.rs256)]),
        Case(
            "its retirement when the new one signs, and the leaving of its standbys",
            [signer()] + two + [
                DrawnKey(kid: "c", published: -9000, activates: -1, algorithm: .es256),
                DrawnKey(kid: "d", published: -9000, algorithm: .es256),
                DrawnKey(kid: "e", published: -9000, algorithm: .es256),
            ], in: [.es256], [.retire("signer", at: soon), .remove("a", at: soon), .remove("b", at: soon)]),
        Case("one key, alone, where the last one leaked and none followed it", [leaked], [.publish(.rs256)]),
        Case("its stamp", [leaked, standby("a", nil)], [.stamp("a")]),
        Case(
            "that it signs at once when it is read committed, unripe, while the clock settles too",
            [leaked, standby("a", -1)], settled: -9,
            [.activate("a", at: DrawnKey.now, .unripe(ripeAt: DrawnKey.now + 3599))]),
        Case(
            "that a ripe one does, of several", [leaked, standby("b", -1), standby("a", -3600)],
            [.activate("a", at: DrawnKey.now)]),
        Case(
            "two standbys behind it", [leaked, DrawnKey(kid: "a", published: -9, activates: 0)],
            [.publish(.rs256), .publish(.rs256)]),
        Case(
            "that one signs at once though the leaked one was taken back",
            [DrawnKey(kid: "x", published: -9, activates: -9, retires: -5, leaves: 9), standby("a", -1)],
            [.activate("a", at: DrawnKey.now, .unripe(ripeAt: DrawnKey.now + 3599))]),
        Case(
            "that it stands its lead where another algorithm signs",
            [leaked, standby("a", -1), DrawnKey(kid: "e", published: -9000, activates: -9, algorithm: .es256)]
                + ["c", "d"].map { DrawnKey(kid: $0, published: -9, algorithm: .es256) },
            in: [.rs256, .es256], [.publish(.rs256), .publish(.rs256)]),
        Case(
            "none beside the first one of an algorithm that is about to sign",
            [
                leaked, DrawnKey(kid: "e", published: -9000, activates: 2, algorithm: .es256),
                DrawnKey(kid: "c", published: -9, algorithm: .es256),
                DrawnKey(kid: "d", published: -9, algorithm: .es256),
            ], in: [.es256], []),
        Case(
            "that what signs is kept where nobody says what is in use", [signer(), standby("a")], in: [],
            [.publish(.rs256)]),
    ]

    @Test(arguments: cases)
    func `is told by keys, policy and clock alone`(it: Case) throws {
        let keys = try it.keys.map { try $0.key() }
        let clock = ClockReading(now: DrawnKey.now, settled: it.settled.map { DrawnKey.now + $0 })
        #expect(KeySchedule.due(keys, algorithms: it.algorithms, policy: Self.policy, clock: clock) == it.expected)
    }

    @Test func `is nothing any more once it was carried out`() throws {
        var keys = [Self.signer(since: -86_400)] + Self.two
        keys[0].retires = 2
        keys[1].activates = 2
        keys.append(DrawnKey(kid: "c", created: 0))
        func due(_ now: Int64) throws -> [KeySchedule.Step] {
            KeySchedule.due(
                try keys.map { try $0.key() }, algorithms: [.rs256], policy: Self.policy,
                clock: ClockReading(now: DrawnKey.now + now))
        }
        #expect(try due(1) == [.stamp("c")])
        keys[3].published = 1
        #expect(try due(1) == [])
        #expect(try due(2) == [.part("signer", leavesAt: DrawnKey.now + 2 + 632)])
    }

    static let successions: [(String, [DrawnKey], String, Int64?, KeySchedule.Succession)] = [
        ("a ripe standby at once", [signer()] + two, "signer", nil, .takenOver(by: "a", at: DrawnKey.now, .ripe)),
        (
            "the one that ripens first, though it is not ripe", [signer(), standby("a", -10), standby("b", -20)],
            "signer", nil, .takenOver(by: "b", at: DrawnKey.now, .unripe(ripeAt: DrawnKey.now + 3580))
        ),
        (
            "one that was not ripe before the clock was stepped, and says so", [signer(), standby("a", -3600)],
            "signer", -1, .takenOver(by: "a", at: DrawnKey.now, .unripe(ripeAt: DrawnKey.now))
        ),
        (
            "one that is not even stamped, where there is no other", [signer(), standby("a", nil)], "signer", nil,
            .takenOver(by: "a", at: DrawnKey.now, .unripe(ripeAt: nil))
        ),
        ("nobody", [signer()], "signer", nil, .nobody),
        (
            "nobody of another algorithm", [signer(), DrawnKey(kid: "e", published: -9000, algorithm: .es256)],
            "signer", nil, .nobody
        ),
        (
            "nobody who is compromised", [signer(), DrawnKey(kid: "a", published: -9000, compromised: -1)], "signer",
            nil, .nobody
        ),
        (
            "the one that was to follow anyway, earlier", [signer(retires: 2), signer("next", since: 2)] + two,
            "signer",
            nil, .takenOver(by: "next", at: DrawnKey.now, .ripe)
        ),
        (
            "the one that was to follow, and is not ripe: it took over a moment ago",
            [signer(retires: 2), DrawnKey(kid: "next", published: -10, activates: 2)] + two, "signer", nil,
            .takenOver(by: "next", at: DrawnKey.now, .unripe(ripeAt: DrawnKey.now + 3590))
        ),
        (
            "in the place of one that is about to sign, at its instant",
            [signer(retires: 2), signer("next", since: 2)] + two, "next", nil,
            .takenOver(by: "a", at: DrawnKey.now + 2, .ripe)
        ),
        (
            "the one that outlives the instant, after two rotations at once",
            [signer(retires: 2), signer("next", since: 2, retires: 2), signer("last", since: 2)] + two, "signer", nil,
            .takenOver(by: "last", at: DrawnKey.now, .ripe)
        ),
        ("nobody needed for a standby", [signer()] + two, "a", nil, .unneeded),
        ("nobody needed for a retired key", [signer("x", retires: -1), signer(since: -1)] + two, "x", nil, .unneeded),
        (
            "nobody needed twice", [DrawnKey(kid: "x", published: -9, activates: -9, retires: -5, compromised: -5)],
            "x", nil, .unneeded
        ),
        (
            "nobody needed for one whose algorithm goes out of use",
            [signer(retires: 1), DrawnKey(kid: "e", published: -9000, activates: -9, algorithm: .es256)], "signer", nil,
            .unneeded
        ),
        ("nobody needed for an unknown key", [signer()] + two, "nobody", nil, .unneeded),
    ]

    @Test(arguments: successions)
    func `names who signs when a key goes at once`(
        name: String, drawn: [DrawnKey], kid: String, settled: Int64?, expected: KeySchedule.Succession
    ) throws {
        let clock = ClockReading(now: DrawnKey.now, settled: settled.map { DrawnKey.now + $0 })
        let keys = try drawn.map { try $0.key() }
        #expect(KeySchedule.succession(keys, of: kid, policy: Self.policy, clock: clock) == expected, "\(name)")
    }

    @Test func `signs with the next key what was issued in the time of a compromised one`() throws {
        let keys = try [
            DrawnKey(kid: "x", published: -9000, activates: -8000, retires: 0, compromised: 0),
            DrawnKey(kid: "next", published: -9000, activates: 0),
        ].map { try $0.key() }
        for offset: Int64 in [-5, 0, 5] {
            #expect(KeySchedule.signer(keys, at: DrawnKey.now + offset, algorithm: .rs256)?.kid == "next")
        }
    }

    @Test func `signs with RS256, or what has signed longest, for an algorithm that has no ripe key`() throws {
        let new = DrawnKey(kid: "new", published: -10, algorithm: .es256)
        let soon = DrawnKey(kid: "soon", published: -10, activates: 2, algorithm: .es256)
        for es256 in [[], [new], [soon]] {
            let keys = try ([Self.signer()] + es256).map { try $0.key() }
            #expect(KeySchedule.signer(keys, at: DrawnKey.now, preferring: .es256)?.kid == "signer")
        }
        let only = try [DrawnKey(kid: "only", published: -10, activates: -5, algorithm: .es256)].map { try $0.key() }
        #expect(KeySchedule.signer(only, at: DrawnKey.now, preferring: .rs256)?.kid == "only")
    }
}
