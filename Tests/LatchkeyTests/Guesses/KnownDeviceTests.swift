import JOSE
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

private let ten = Array(repeating: 401, count: 10)

@Suite("A known device", .timeLimit(.minutes(8)))
struct KnownDeviceTests {
    private func run(_ body: @Sendable (TestInstallation) async throws -> Void) async throws {
        try await TestInstallation.run(
            settings: { $0.guesses = GuessLimits(perAccount: 10, perAddress: 0) }, body)
    }

    private func known(_ it: TestInstallation) async throws -> [[UniqueID]] {
        try await it.database.query("SELECT devices FROM guess_devices ORDER BY user_id").rows.map { row in
            try row.decode("devices")
        }
    }

    private func token(_ text: String, _ it: TestInstallation) throws -> DeviceToken {
        try #require(DeviceToken(text, masterKeys: it.node.installation.masterKeys))
    }

    @Test func `gets in while others guess, has ten guesses of its own, and stays the same device`() async throws {
        try await run { it in
            let alice = try await it.node.newUser("alice")
            #expect(try await it.guess("alice", times: 11) == ten + [429])
            let again = try await it.node.logIn("alice", device: alice.deviceToken)
            #expect(again.status == 200)
            #expect(again.deviceToken == alice.deviceToken)
            #expect(try await it.guess("alice", times: 11, device: alice.deviceToken) == ten + [429])
            expectTooMany(try await it.node.logIn("alice", device: alice.deviceToken), within: 880...900)
            // Another of hers is not touched by that.
            let other = try it.deviceToken(alice, 5)
            #expect(try await it.node.logIn("alice", device: other).status == 200)
            #expect(try await it.slots() == [10, 10])
        }
    }

    @Test func `is a new one for every login that shows none`() async throws {
        try await run { it in
            let alice = try await it.node.newUser("alice")
            for shown in [nil, "", "lkd1.x", alice.refresh, alice.deviceToken + "A"] {
                let answer = try await it.node.logIn("alice", device: shown)
                #expect(answer.status == 200)
                #expect(try token(answer.deviceToken, it).device != token(alice.deviceToken, it).device)
            }
            let wrong = try await it.node.post(
                "/auth/login", ["username": "alice", "password": "correct horse", "device_token": 7])
            #expect(wrong.status == 400)
            // A refresh has nothing to say of devices.
            #expect(try await it.node.refresh(alice.refresh).json["device_token"] == nil)
        }
    }

    /// Their row is locked last: a log in that waited for it would have all others of its group wait.
    @Test(.eachAnswerCounts) func `of a user who is being deleted holds up nobody, and is forgotten with them`()
        async throws
    {
        try await run { it in
            let administrator = try await it.node.administrator()
            let (alice, _) = (try await it.node.newUser("alice"), try await it.node.newUser("bob"))
            #expect(try await it.node.logIn("alice", device: try it.deviceToken(alice, 1)).status == 200)
            #expect(try await known(it).count == 1)
            let shown = try it.deviceToken(alice, 2)
            let deleting = try await it.whileLocked(
                "SELECT rid FROM sessions FOR UPDATE", for: 3,
                isFree: "SELECT rid FROM sessions FOR UPDATE SKIP LOCKED"
            ) {
                let deleting = Task { try await it.node.delete("/admin/users/alice", bearer: administrator) }
                let isWaiting: Query = """
                    SELECT count(*) AS count
                    FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'
                    """
                #expect(
                    try await becomesTrue {
                        try await it.database.query(isWaiting).one().decode("count") >= Int64(1)
                    })
                let theirs = Task { try await it.node.logIn("alice", device: shown) }
                for _ in 0..<4 { #expect(try await it.node.logIn("bob").status == 200) }
                _ = try await theirs.value
                return deleting
            }
            #expect(try await deleting.value.status == 204)
            #expect(try await known(it).isEmpty)
        }
    }

    @Test func `stays known whatever a script does that never shows a token`() async throws {
        try await run { it in
            let alice = try await it.node.newUser("alice")
            #expect(try await it.node.logIn("alice", device: alice.deviceToken).status == 200)
            let before = try await known(it)
            #expect(before == [[try token(alice.deviceToken, it).device]])
            for _ in 0..<20 { #expect(try await it.node.logIn("alice").status == 200) }
            #expect(try await known(it) == before)
        }
    }

    @Test func `that is the tenth pushes out the oldest, which cannot come back, and takes over its guesses`()
        async throws
    {
        try await run { it in
            let alice = try await it.node.newUser("alice")
            let tokens = try (1...10).map { try it.deviceToken(alice, $0) }
            for token in tokens[..<9] { #expect(try await it.node.logIn("alice", device: token).status == 200) }
            #expect(try await it.guess("alice", times: 7, device: tokens[0]).allSatisfy { $0 == 401 })
            #expect(try await it.node.logIn("alice", device: tokens[9]).status == 200)
            #expect(try await it.guess("alice", times: 10) == ten)
            expectTooMany(try await it.node.logIn("alice", device: tokens[0]))
            for token in tokens[1...] { #expect(try await it.node.logIn("alice", device: token).status == 200) }
            // However many tokens were stolen: there are nine buckets.
            #expect(try await it.guess("alice", times: 4, device: tokens[9]) == [401, 401, 401, 429])
            #expect(try await known(it).map(\.count) == [9])
        }
    }

    @Test func `never lets more than a hundred guesses through, with any number of stolen tokens`() async throws {
        try await run { it in
            let alice = try await it.node.newUser("alice")
            var evaluated = 0
            for number in 0..<25 {
                let token = try it.deviceToken(alice, number)
                evaluated += try await it.guess("alice", times: 11, device: token).count { $0 == 401 }
            }
            evaluated += try await it.guess("alice", times: 11).count { $0 == 401 }
            #expect(evaluated == 100)
            #expect(try await it.slots() == Array(repeating: 10, count: 10))
        }
    }

    @Test func `of another user is worth nothing`() async throws {
        try await run { it in
            let alice = try await it.node.newUser("alice")
            let mallory = try await it.node.newUser("mallory")
            #expect(try await it.guess("alice", times: 10, device: mallory.deviceToken) == ten)
            expectTooMany(try await it.node.logIn("alice", device: mallory.deviceToken))
            expectTooMany(try await it.node.logIn("alice"))
            expectTooMany(try await it.guessOnce("nobody", after: 10, device: mallory.deviceToken))
            // Nor does it cost the one whose it is.
            #expect(try await it.node.logIn("mallory", device: mallory.deviceToken).status == 200)
            #expect(try await it.node.logIn("alice", device: alice.deviceToken).status == 200)
        }
    }

    enum Change: String, CaseIterable, Sendable {
        case own, administrators

        func perform(_ it: TestInstallation, _ alice: TestNode.Answer, _ administrator: String) async throws -> Int {
            switch self {
            case .own:
                try await it.node.post(
                    "/account/password", ["current": "correct horse", "new": "battery staple"], bearer: alice.access
                ).status
            case .administrators:
                try await it.node.post(
                    "/admin/users/alice/password", ["new": "battery staple"], bearer: administrator
                ).status
            }
        }
    }

    @Test(arguments: Change.allCases) func `is known no more once the password has changed`(change: Change) async throws
    {
        try await run { it in
            let administrator = try await it.node.administrator()
            let alice = try await it.node.newUser("alice")
            let unseen = try it.deviceToken(alice, 3)
            #expect(try await it.node.logIn("alice", device: alice.deviceToken).status == 200)
            #expect(try await change.perform(it, alice, administrator) == 204)

            let fresh = try await it.node.logIn("alice", "battery staple", device: alice.deviceToken)
            #expect(fresh.status == 200)
            #expect(try token(fresh.deviceToken, it).device != token(alice.deviceToken, it).device)
            #expect(try await it.guess("alice", times: 10) == ten)
            for old in [alice.deviceToken, unseen] {
                expectTooMany(try await it.node.logIn("alice", "battery staple", device: old))
            }
            // The new token opens its bucket, and its first showing makes the list of the new password.
            #expect(try await it.node.logIn("alice", "battery staple", device: fresh.deviceToken).status == 200)
            #expect(try await known(it) == [[try token(fresh.deviceToken, it).device]])
        }
    }

    @Test func `stays known when the account was disabled for a while`() async throws {
        try await run { it in
            let administrator = try await it.node.administrator()
            let alice = try await it.node.newUser("alice")
            for act in ["disable", "enable"] {
                #expect(try await it.node.post("/admin/users/alice/\(act)", bearer: administrator).status < 300)
            }
            #expect(try await it.guess("alice", times: 10) == ten)
            #expect(try await it.node.logIn("alice", device: alice.deviceToken).status == 200)
        }
    }
}

extension TestInstallation {
    /// The answer to one more guess after `count`.
    fileprivate func guessOnce(_ name: String, after count: Int, device: String) async throws -> TestNode.Answer {
        _ = try await guess(name, times: count, device: device)
        return try await node.logIn(name, "wrong horse", device: device)
    }
}
