import JOSE
import LatchkeyTesting
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

private let ten = Array(repeating: 401, count: 10)

@Suite("Guess limits", .timeLimit(.minutes(8)))
struct GuessLimitTests {
    /// The limit of addresses is off, so that each row is a name's or a device's.
    private static func run(
        nodes: Int = 1, patience: Int64 = 15_000_000_000,
        limits: GuessLimits = GuessLimits(perAccount: 10, perAddress: 0),
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        _ body: @Sendable (TestInstallation) async throws -> Void
    ) async throws {
        try await TestInstallation.run(
            nodes: nodes, patience: patience, logger: logger, settings: { $0.guesses = limits }, body)
    }

    @Test func `refuse the eleventh wrong password of a name, and the right one too, on every node`() async throws {
        try await Self.run(nodes: 2) { it in
            _ = try await it.node.newUser("alice")
            #expect(try await it.guess("alice", times: 10) == ten)
            for node in it.nodes {
                expectTooMany(try await node.logIn("alice", "wrong horse"), within: 880...900)
                expectTooMany(try await node.logIn("alice"), within: 880...900)
                expectTooMany(try await node.logIn("ALICE"), within: 880...900)
            }
            #expect(try await it.slots() == [10])
            // Another name has guesses of its own.
            #expect(try await it.guess("bob", times: 1) == [401])
        }
    }

    @Test(arguments: ["nobody", "no body", "", "é", "disabled", "passwordless"])
    func `are the same for an account that cannot log in, word for word`(name: String) async throws {
        try await Self.run { it in
            let administrator = try await it.node.administrator()
            let users = it.node.installation.users
            _ = try await it.node.newUser("alice")
            _ = try await it.node.newUser("disabled")
            _ = try await users.register(
                Username("passwordless"), nil, email: nil, origin: Origin(actor: "test"))
            #expect(try await it.node.post("/admin/users/disabled/disable", bearer: administrator).status == 204)
            #expect(try await it.guess(name, times: 10) == ten)
            #expect(try await it.guess("alice", times: 10) == ten)
            let (theirs, alices) = (try await it.node.logIn(name), try await it.node.logIn("alice"))
            expectTooMany(theirs)
            expectTooMany(alices)
            #expect(theirs.json["title"]?.string == alices.json["title"]?.string)
            #expect(theirs.headers.map(\.name) == alices.headers.map(\.name))
            #expect(theirs.json["detail"]?.string?.contains("Try again in") == true)
        }
    }

    @Test(.eachAnswerCounts)
    func `that cannot be counted in time are 503, well within what a request waits for the database`()
        async throws
    {
        try await Self.run(patience: 8_000_000_000) { it in
            _ = try await it.node.newUser("alice")
            let node = it.node
            try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("LOCK TABLE guess_buckets IN ACCESS EXCLUSIVE MODE")
                let start = ContinuousClock.now
                #expect(try await node.logIn("alice").status == 503)
                // Half of the eight seconds for the call; the other half is for who waits for it to end.
                #expect(ContinuousClock.now - start < .milliseconds(6_800))
            }
            #expect(try await becomesTrue { try await node.logIn("alice").status == 200 })
        }
    }

    @Test func `slide exactly: one slot leaves, one guess is let through`() async throws {
        try await Self.run { it in
            _ = try await it.node.newUser("alice")
            #expect(try await it.guess("alice", times: 10) == ten)
            try await it.ageSlots(1, seconds: 895)
            expectTooMany(try await it.node.logIn("alice"), within: 1...5)
            try await it.ageSlots(1, seconds: 5)
            #expect(try await it.guess("alice", times: 2) == [401, 429])
            try await it.ageSlots(3, seconds: 900)
            #expect(try await it.guess("alice", times: 4) == [401, 401, 401, 429])
            #expect(try await it.slots() == [10])
            try await it.ageSlots(seconds: 900)
            #expect(try await it.node.logIn("alice").status == 200)
            #expect(try await it.slots() == [])
        }
    }

    @Test func `count a slot from the future as taken now, and keep it so`() async throws {
        try await Self.run { it in
            #expect(try await it.guess("alice", times: 10) == ten)
            try await it.ageSlots(seconds: -3600)
            expectTooMany(try await it.node.logIn("alice"), within: 895...900)
            let row = try await it.database.query(
                "SELECT bool_and(clock_timestamp() >= ALL (slots)) AS past FROM guess_buckets"
            ).one()
            #expect(try row.decode("past") == true)
            try await it.ageSlots(seconds: 900)
            #expect(try await it.guess("alice", times: 1) == [401])
        }
    }

    @Test func `do not count a right password: a script may log in as often as it likes`() async throws {
        try await Self.run(limits: GuessLimits(perAccount: 2, perAddress: 3)) { it in
            _ = try await it.node.newUser("alice")
            for _ in 0..<15 { #expect(try await it.node.logIn("alice").status == 200) }
            #expect(try await it.slots() == [])
            #expect(try await it.guess("alice", times: 3) == [401, 401, 429])
        }
    }

    @Test(.eachAnswerCounts) func `give back what an overloaded node did not look at`() async throws {
        try await Self.run(nodes: 2) { it in
            _ = try await it.node.newUser("alice")
            it.nodes[1].installation.users.hasher.shutdown()
            for _ in 0..<12 { #expect(try await it.nodes[1].logIn("alice", "wrong horse").status == 503) }
            #expect(try await it.slots() == [])
            #expect(try await it.node.logIn("alice").status == 200)
        }
    }

    @Test func `give back later what cannot be given back now, once`() async throws {
        try await Self.run(nodes: 2) { it in
            _ = try await it.node.newUser("alice")
            let guesses = it.node.installation.guesses
            let origin = Origin(actor: "test")
            let own = try await guesses.take(for: "alice", deviceToken: nil, origin: origin)
            let others = try await guesses.take(for: "alice", deviceToken: nil, origin: origin)
            #expect(others.takenAt != own.takenAt)
            try await it.database.query("ALTER FUNCTION give_back_guess_slots RENAME TO away")
            await guesses.giveBack(own)
            #expect(try await it.slots() == [2])
            try await it.database.query("ALTER FUNCTION away RENAME TO give_back_guess_slots")
            try await guesses.keepHouse()
            #expect(try await it.slots() == [1])
            // Twice is once: the other's slot stays.
            await guesses.giveBack(own)
            #expect(try await it.slots() == [1])
            await guesses.giveBack(others)
            #expect(try await it.slots() == [])
        }
    }

    @Test(.eachAnswerCounts) func `are 503 while it cannot be known whether a slot was taken, and nothing is hashed`()
        async throws
    {
        try await Self.run(patience: 8_000_000_000) { it in
            _ = try await it.node.newUser("alice")
            #expect(try await it.guess("alice", times: 1) == [401])
            try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("SELECT key FROM guess_buckets FOR UPDATE")
                let start = ContinuousClock.now
                let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                    group.addTask { try await it.node.logIn("alice").status }
                    // Those who come while that call waits for the row wait for its end.
                    try await it.untilWaitingForLocks(1)
                    for name in ["alice", "bob", "carol", "dave"] {
                        group.addTask { try await it.node.logIn(name).status }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(statuses == Array(repeating: 503, count: 5))
                #expect(ContinuousClock.now - start < .seconds(15))
                try await transaction.commit()
            }
            #expect(try await becomesTrue { try await it.node.logIn("alice").status == 200 })
        }
    }

    @Test func `give back where the caller hung up before the hash`() async throws {
        // One hash at a time, of a second or so.
        try await TestInstallation.run(settings: { settings in
            settings.guesses = GuessLimits(perAccount: 10, perAddress: 0)
            settings.hashingMemoryKiB = 65_536
            settings.hashingQueueWait = 60
            settings.argon2 =
                (try? Argon2Parameters(memoryKiB: 65_536, iterations: 24, parallelism: 1)) ?? settings.argon2
        }) { it in
            let hasher = it.node.installation.users.hasher
            let password = try Password(checking: "correct horse")
            async let busy = hasher.hash(password)
            #expect(await becomesTrue { hasher.load.running == 1 })
            let caller = Task { try await it.node.logIn("alice", "wrong horse") }
            #expect(await becomesTrue { hasher.load.waiting == 1 })
            #expect(try await it.slots() == [1])
            caller.cancel()
            #expect(try await becomesTrue { try await it.slots() == [] })
            #expect(hasher.load.running == 1 && hasher.load.waiting == 0)
            _ = try await busy
            #expect(hasher.load.running == 0)
        }
    }

    @Test func `count an address over all names, and take in all buckets or in none`() async throws {
        try await Self.run(nodes: 2, limits: GuessLimits(perAccount: 10, perAddress: 5)) { it in
            let alice = try await it.node.newUser("alice")
            for name in ["a", "b", "c", "d", "e"] { #expect(try await it.guess(name, times: 1) == [401]) }
            for name in ["alice", "f", "a"] { expectTooMany(try await it.nodes[1].logIn(name)) }
            // Five names and the address; those that were refused left nothing.
            #expect(try await it.slots() == [1, 1, 1, 1, 1, 5])
            // A device that is known is counted by itself alone.
            #expect(try await it.nodes[1].logIn("alice", device: alice.deviceToken).status == 200)
        }
    }

    @Test func `are shared by the change of a password`() async throws {
        try await Self.run { it in
            let alice = try await it.node.newUser("alice")
            func change(_ current: String, device: String? = nil) async throws -> TestNode.Answer {
                let body: JSONValue = .object(
                    JSONObject([
                        ("current", .string(current)), ("new", "battery staple"),
                        ("device_token", device.map { .string($0) }),
                    ]))
                return try await it.node.post("/account/password", body, bearer: alice.access)
            }
            #expect(try await it.guess("alice", times: 6) == Array(repeating: 401, count: 6))
            for _ in 0..<4 { #expect(try await change("wrong horse").status == 401) }
            expectTooMany(try await change("wrong horse"))
            expectTooMany(try await change("correct horse"))
            expectTooMany(try await it.node.logIn("alice"))
            #expect(try await change("correct horse", device: alice.deviceToken).status == 204)
        }
    }

    @Test func `are off where they are 0`() async throws {
        try await Self.run(limits: GuessLimits(perAccount: 0, perAddress: 0)) { it in
            let alice = try await it.node.newUser("alice")
            #expect(try await it.guess("alice", times: 30) == Array(repeating: 401, count: 30))
            #expect(try await it.node.logIn("alice", device: alice.deviceToken).status == 200)
            #expect(try await it.slots() == [])
        }
        try await Self.run(limits: GuessLimits(perAccount: 0, perAddress: 12)) { it in
            let alice = try await it.node.newUser("alice")
            #expect(try await it.guess("alice", times: 12) == ten + [401, 401])
            // Without a limit for devices no token opens a way around the address's.
            expectTooMany(try await it.node.logIn("alice", device: alice.deviceToken))
        }
    }

    @Test func `say in the log once that they are reached, without the name`() async throws {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "guesses") { label in
            JSONLogHandler(label: label, logLevel: .info) { line in
                lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
            }
        }
        try await Self.run(logger: logger) { it in
            let name = "hunter2hunter2"
            let statuses = try await it.guess(name, times: 30)
            #expect(statuses.count { $0 == 429 } == 20)
            let told = lines.withLock { $0 }.filter { $0.contains("a guess limit is reached") }
            #expect(told.count == 1)
            #expect(told.first?.contains("account") == true && told.first?.contains("127.0.0.1") == true)
            #expect(lines.withLock { $0 }.allSatisfy { !$0.contains(name) })
        }
    }

    @Test func `forget spent rows, and no others`() async throws {
        try await Self.run { it in
            #expect(try await it.guess("alice", times: 1) == [401])
            try await it.database.query(
                """
                INSERT INTO guess_buckets (key, slots, spent_at)
                SELECT decode(md5(n::text), 'hex'), '{}', clock_timestamp() - interval '1 second'
                FROM generate_series(1, 2500) AS n
                """)
            try await it.node.installation.guesses.keepHouse()
            let row = try await it.database.query(
                """
                SELECT count(*) AS count, bool_and(spent_at - slots[1] BETWEEN '15 minutes' AND '16 minutes') AS kept
                FROM guess_buckets
                """
            ).one()
            #expect(try row.decode("count", as: Int64.self) == 1)
            #expect(try row.decode("kept") == true)
        }
    }
}
