import Postgres
import Testing

@testable import Latchkey

/// The decision alone; who takes over is `KeySchedule.succession`'s to say.
@Suite struct KeyCompromiseTests {
    private static let policy = KeyPolicy(publishLead: 3600, maxAge: 300, leeway: 30, lifetime: 600)
    private static let now = DrawnKey.now

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var kid = "leaked"
        let keys: [DrawnKey]
        let expected: KeyCompromise.Decision
    }

    private static let signer = DrawnKey(kid: "leaked", published: -9000, activates: -5000)
    private static let ripe = DrawnKey(kid: "ripe", published: -3600)
    private static let young = DrawnKey(kid: "young", published: -3599)
    private static let unstamped = DrawnKey(kid: "unstamped")

    private static func change(
        _ activates: Int64?, _ retires: Int64?, _ takeover: KeyCompromise.Takeover? = nil
    ) -> KeyCompromise.Decision {
        func at(_ offset: Int64?) -> Instant? { offset.map { now + $0 } }
        return .compromise(
            KeyCompromise.Change(
                activatesAt: at(activates), retiresAt: at(retires), takeover: takeover))
    }

    private static func takeover(
        _ kid: String, at offset: Int64 = 0, _ standing: KeySchedule.Standing = .ripe
    ) -> KeyCompromise.Takeover {
        KeyCompromise.Takeover(kid: kid, at: now + offset, standing: standing)
    }

    static let cases = [
        Case(
            testDescription: "the signer stops now, and a ripe standby signs from the same instant",
            keys: [signer, young, ripe], expected: change(-5000, 0, takeover("ripe"))),
        Case(
            testDescription: "without a ripe standby the one signs that ripens first, and the outcome says so",
            keys: [signer, unstamped, young],
            expected: change(-5000, 0, takeover("young", .unripe(ripeAt: now + 1)))),
        Case(
            testDescription: "one that is not even stamped signs where there is no other",
            keys: [signer, unstamped],
            expected: change(-5000, 0, takeover("unstamped", .unripe(ripeAt: nil)))),
        Case(testDescription: "without any other key one has to be made first", keys: [signer], expected: .noSuccessor),
        Case(
            testDescription: "a standby that is compromised itself does not sign",
            keys: [signer, DrawnKey(kid: "other", published: -9000, compromised: -10)], expected: .noSuccessor),
        Case(
            testDescription: "in the two seconds of a rotation its successor begins at once, and no standby is spent",
            keys: [
                DrawnKey(kid: "leaked", published: -9000, activates: -5000, retires: 2),
                DrawnKey(kid: "next", published: -8000, activates: 2), ripe,
            ],
            expected: change(-5000, 0, takeover("next"))),
        Case(
            testDescription: "a key that is about to sign never does, and a standby begins at its instant",
            keys: [
                DrawnKey(kid: "signer", published: -9000, activates: -5000, retires: 2),
                DrawnKey(kid: "leaked", published: -8000, activates: 2), ripe,
            ],
            expected: change(nil, nil, takeover("ripe", at: 2))),
        Case(
            testDescription: "a standby leaves, and nothing changes about who signs",
            keys: [DrawnKey(kid: "signer", activates: -5000), DrawnKey(kid: "leaked", published: -9000), ripe],
            expected: change(nil, nil)),
        Case(
            testDescription: "a retired key keeps its times",
            keys: [
                DrawnKey(kid: "leaked", activates: -5000, retires: -10),
                DrawnKey(kid: "signer", activates: -10),
            ],
            expected: change(-5000, -10)),
        Case(
            testDescription: "so does one that retires at this instant",
            keys: [
                DrawnKey(kid: "leaked", activates: -5000, retires: 0),
                DrawnKey(kid: "signer", activates: 0),
            ],
            expected: change(-5000, 0)),
        Case(
            testDescription: "and one that was removed",
            keys: [DrawnKey(kid: "leaked", activates: -5000, retires: -4000, removed: -3000)],
            expected: change(-5000, -4000)),
        Case(
            testDescription: "done twice it is done once",
            keys: [DrawnKey(kid: "leaked", activates: -5000, retires: -7, compromised: -7), ripe],
            expected: .already(since: now - 7)),
        Case(testDescription: "a key that is not there", kid: "nobody", keys: [signer, ripe], expected: .unknownKey),
        Case(
            testDescription: "a kid is compared byte by byte", kid: "\u{212A}",
            keys: [DrawnKey(kid: "K", published: -9000, activates: -5000), ripe], expected: .unknownKey),
    ]

    @Test(arguments: cases)
    func `What it does is`(_ it: Case) throws {
        let decision = KeyCompromise.decide(
            try it.keys.map { try $0.key() }, kid: it.kid, policy: Self.policy, clock: ClockReading(now: Self.now))
        #expect(decision == it.expected)
    }

    @Test(
        arguments: [
            ("whoever signed", [signer], -5000, 0, nil, true),
            (
                "whoever was about to, and never does",
                [
                    DrawnKey(kid: "old", published: -9000, activates: -5000, retires: 2),
                    DrawnKey(kid: "leaked", published: -8000, activates: 2),
                ], nil, nil, nil, true
            ),
            ("not where a standby is left, be it unstamped", [signer, unstamped], -5000, 0, "unstamped", false),
            ("not where it did not sign", [DrawnKey(kid: "leaked", published: -9)], nil, nil, nil, false),
        ] as [(String, [DrawnKey], Int64?, Int64?, String?, Bool)])
    func `Where nobody need follow it goes alone`(
        _ what: String, drawn: [DrawnKey], activates: Int64?, retires: Int64?, next: String?, isAlone: Bool
    ) throws {
        let decision = KeyCompromise.decide(
            try drawn.map { try $0.key() }, kid: "leaked", policy: Self.policy, clock: ClockReading(now: Self.now),
            vacancy: .accepted)
        guard case .compromise(let change) = decision else {
            Issue.record("\(what): \(decision)")
            return
        }
        #expect(change.activatesAt == activates.map { Self.now + $0 }, "\(what)")
        #expect(change.retiresAt == retires.map { Self.now + $0 }, "\(what)")
        #expect(change.takeover?.kid == next, "\(what)")
        #expect(change.leavesNobody == isAlone, "\(what)")
    }

    @Test(
        arguments: [
            ("nobody", DrawnKey(kid: "leaked", compromised: -7), true, .unknownKey),
            ("leaked", DrawnKey(kid: "leaked", activates: -9, retires: -7), true, .notCompromised),
            ("leaked", DrawnKey(kid: "leaked", activates: -9, retires: -7, compromised: -7), false, .destroyed),
            ("leaked", DrawnKey(kid: "leaked", compromised: -7), false, .destroyed),
            ("leaked", DrawnKey(kid: "leaked", published: -99, compromised: -7), true, .restore(as: .published)),
            (
                "leaked", DrawnKey(kid: "leaked", activates: -9, retires: -7, removed: 1, compromised: -7), true,
                .restore(as: .retired)
            ),
            (
                "leaked", DrawnKey(kid: "leaked", activates: -9, retires: -7, removed: 0, compromised: -7), true,
                .restore(as: .removed)
            ),
        ] as [(String, DrawnKey, Bool, KeyCompromise.Restoration)])
    func `Taking it back is possible while the private half is there`(
        kid: String, key: DrawnKey, isSealed: Bool, expected: KeyCompromise.Restoration
    ) throws {
        let restoration = KeyCompromise.restoration(
            [try key.key().with(sealed: isSealed ? [1] : nil)], kid: kid, now: Self.now)
        #expect(restoration == expected)
    }
}

extension SigningKey {
    fileprivate func with(sealed: [UInt8]?) -> SigningKey {
        SigningKey(
            kid: kid, publicKey: publicKey, sealed: sealed, masterKeyVersion: masterKeyVersion, isFounding: isFounding,
            createdAt: createdAt, publishedAt: publishedAt, activatesAt: activatesAt, retiresAt: retiresAt,
            leavesAt: leavesAt, removedAt: removedAt, compromisedAt: compromisedAt)
    }
}
