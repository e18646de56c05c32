import LatchkeyTesting
import Testing

@testable import Latchkey

@Suite("The password hasher", .timeLimit(.minutes(1)))
struct PasswordHasherTests {
    /// About a tenth of a millisecond.
    static func cheap() throws -> Argon2Parameters {
        try Argon2Parameters(memoryKiB: 64, iterations: 1, parallelism: 1)
    }

    /// Long enough that what is queued behind one waits while a test looks, on any machine.
    static func dear() throws -> Argon2Parameters {
        try Argon2Parameters(memoryKiB: 65_536, iterations: 4, parallelism: 1)
    }

    static func with<Value>(
        _ parameters: Argon2Parameters,
        cores: Int = 2,
        queueWait: Duration = .seconds(60),
        capacity: Int = 1_024,
        quantum: Duration = .milliseconds(1),
        _ body: (PasswordHasher) async throws -> Value
    ) async throws -> Value {
        let hasher = PasswordHasher(
            .init(
                parameters: parameters, cores: cores, queueWait: queueWait, queueCapacity: capacity,
                failureQuantum: quantum))
        defer { hasher.shutdown() }
        return try await body(hasher)
    }

    /// Why a hash was refused; nil where it was not.
    static func rejection(of password: Password, by hasher: PasswordHasher) async -> HashingRejection? {
        do throws(HashingRejection) {
            _ = try await hasher.hash(password)
            return nil
        } catch {
            return error
        }
    }

    @Test("hashes with the settings' parameters, never twice alike, and knows the password again")
    func hashAndVerify() async throws {
        try await Self.with(Self.cheap()) { hasher in
            let password = try Password(setting: "correct horse")
            let phc = try await hasher.hash(password)
            #expect(phc.parameters == hasher.parameters && phc.salt.count == 16 && phc.tag.count == 32)
            #expect(try await hasher.hash(password) != phc)
            let stored = try PHCString(parsing: phc.text)
            #expect(try await hasher.verify(password, against: stored) == .matches)
            #expect(try await hasher.verify(Password(checking: "correct horsf"), against: stored) == .differs)
            #expect(try await hasher.verify(password, against: nil) == .differs)
        }
    }

    @Test("says when a hash that matches is weaker than the settings")
    func upgrade() async throws {
        let password = try Password(setting: "correct horse")
        let old = try await Self.with(Self.cheap()) { try await $0.hash(password) }
        try await Self.with(Argon2Parameters(memoryKiB: 128, iterations: 1, parallelism: 1)) { hasher in
            #expect(try await hasher.verify(password, against: old) == .matchesNeedsUpgrade)
            #expect(try await hasher.verify(Password(checking: "wrong"), against: old) == .differs)
            let new = try await hasher.hash(password)
            #expect(try await hasher.verify(password, against: new) == .matches)
        }
    }

    /// From src/test.c of the reference implementation, phc-winner-argon2.
    @Test(
        "verifies a hash made elsewhere",
        arguments: [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ])
    func interoperability(text: String) async throws {
        let phc = try PHCString(parsing: text)
        try await Self.with(Self.cheap()) { hasher in
            let (right, wrong) = (try Password(checking: "password"), try Password(checking: "Password"))
            // Its salt is of 8 bytes: shorter than ours, so it is due for an upgrade.
            #expect(try await hasher.verify(right, against: phc) == .matchesNeedsUpgrade)
            #expect(try await hasher.verify(wrong, against: phc) == .differs)
        }
    }

    @Test("answers a failure at a whole multiple of the quantum, an unknown account like a wrong password")
    func failureTime() async throws {
        let quantum = Duration.milliseconds(200)
        try await Self.with(Self.cheap(), quantum: quantum) { hasher in
            let password = try Password(setting: "correct horse")
            let stored = try await hasher.hash(password)
            let wrong = try Password(checking: "wrong")
            let clock = ContinuousClock()
            for against in [stored, nil] {
                let spent = try await clock.measure { _ = try await hasher.verify(wrong, against: against) }
                #expect(spent >= quantum)
            }
        }
    }

    @Test(
        "computes the time of a failure's answer",
        arguments: [(0, 0, 25), (0, 1, 25), (0, 25, 25), (0, 26, 50), (10, 60, 60), (10, 61, 85), (10, 9, 35)])
    func answerTime(began: Int64, ended: Int64, expected: Int64) {
        #expect(PasswordHasher.answer(began: began, ended: ended, quantum: 25) == expected)
    }

    @Test("holds as many threads as memory and cores allow, at least one")
    func threads() {
        #expect(PasswordHasher.Configuration(memoryBudgetKiB: 100_000, cores: 64).threads == 5)
        #expect(PasswordHasher.Configuration(memoryBudgetKiB: 1_000_000, cores: 4).threads == 4)
        #expect(PasswordHasher.Configuration(memoryBudgetKiB: 1, cores: 4).threads == 1)
    }

    @Test func `lets in what it predicts to begin within half of the wait, and lets it wait for the whole`() {
        let configuration = PasswordHasher.Configuration(
            memoryBudgetKiB: 100_000, cores: 2, queueWait: .seconds(3), queueCapacity: 7)
        #expect(
            configuration.limits
                == .init(
                    threads: 2, capacity: 7, waitLimit: 3_000_000_000, admissionLimit: 1_500_000_000,
                    memoryBudgetKiB: 100_000))
        // One hash under way, one of a second before each: the second in the queue would begin after half of the wait.
        let limits = configuration.limits
        var queue = HashingQueue<Int>(
            limits: .init(
                threads: 1, capacity: 7, waitLimit: limits.waitLimit, admissionLimit: limits.admissionLimit,
                memoryBudgetKiB: 100_000,
                assumedNanosecondsPerUnit: 1_000_000_000 / Double(configuration.parameters.cost)))
        var arrivals: [HashingQueue<Int>.Arrival] = []
        for id in 1...3 {
            arrivals.append(queue.arrive(id, id: UInt64(id), parameters: configuration.parameters, now: 0))
            if id == 1 { _ = queue.nextTurn(now: 0) }
        }
        #expect(arrivals.prefix(2) == [.accepted, .accepted])
        guard case .refused(let wait) = arrivals[2] else {
            Issue.record("\(arrivals[2])")
            return
        }
        #expect(wait > limits.admissionLimit && wait < limits.waitLimit)
    }

    @Test("refuses most of a flood of 500 before the first is hashed, and hashes the rest")
    func flood() async throws {
        try await Self.with(Self.dear(), cores: 1, queueWait: .milliseconds(300)) { hasher in
            let password = try Password(setting: "correct horse")
            await withTaskGroup(of: HashingRejection?.self) { group in
                for _ in 0..<500 { group.addTask { await Self.rejection(of: password, by: hasher) } }
                var answers: [HashingRejection?] = []
                for await answer in group {
                    answers.append(answer)
                    #expect(hasher.load.waiting < 100)
                }
                let refusals = answers.compactMap { $0 }
                #expect(refusals.count > 400 && refusals.count < 500)
                for refusal in refusals {
                    guard case .overloaded(let seconds) = refusal else {
                        Issue.record("nobody cancelled")
                        continue
                    }
                    #expect(seconds >= 1)
                }
                // By order, not by time: on a machine that is busy with other tests both come late.
                #expect(answers.first != .some(nil), "a hash was answered before any refusal")
            }
            #expect(hasher.load == .init(waiting: 0, running: 0, threads: 1))
        }
    }

    /// Waits for `condition` without keeping a thread from other tests; false where its moment was missed, since a hash
    /// may end before a busy machine lets the test look.
    static func sees(_ condition: () -> Bool) async -> Bool {
        let end = ContinuousClock.now + .seconds(4)
        while !condition() {
            if ContinuousClock.now > end { return false }
            try? await Task.sleep(for: .milliseconds(1))
        }
        return true
    }

    /// Tries `body` until it saw what it waits for.
    static func inTime(_ body: @Sendable (PasswordHasher) async throws -> Bool) async throws {
        for _ in 0..<5 {
            if try await with(dear(), cores: 1, body) { return }
        }
        Issue.record("the moment was missed five times")
    }

    @Test("does not hash for a caller that has gone")
    func cancellation() async throws {
        try await Self.inTime { hasher in
            let password = try Password(setting: "correct horse")
            return await withTaskGroup(of: HashingRejection?.self) { group in
                for _ in 0..<20 { group.addTask { await Self.rejection(of: password, by: hasher) } }
                let isSeen = await Self.sees { hasher.load == .init(waiting: 19, running: 1, threads: 1) }
                group.cancelAll()
                var rejections: [HashingRejection] = []
                for await outcome in group { if let outcome { rejections.append(outcome) } }
                #expect(hasher.load.waiting == 0)
                guard isSeen else { return false }
                #expect(rejections == Array(repeating: .cancelled, count: 19))
                return true
            }
        }
    }

    @Test("does not queue for a caller that had gone before")
    func cancelledBefore() async throws {
        try await Self.inTime { hasher in
            let password = try Password(setting: "correct horse")
            async let busy = hasher.hash(password)
            guard await Self.sees({ hasher.load.running == 1 }) else {
                _ = try await busy
                return false
            }
            let gone = await withTaskGroup(of: HashingRejection?.self) { group in
                group.cancelAll()
                group.addTask { await Self.rejection(of: password, by: hasher) }
                return await group.next()
            }
            #expect(gone == .cancelled)
            _ = try await busy
            return true
        }
    }

    @Test func `has compared a password whose sender hangs up after the hash: that guess is not undone`() async throws {
        let hasher = PasswordHasher(
            .init(memoryBudgetKiB: Argon2Parameters.standard.memoryKiB, failureQuantum: .seconds(3_600)))
        defer { hasher.shutdown() }
        let password = try Password(checking: "correct horse")
        let guess = Task { try await hasher.verify(password, against: nil) }
        // Computed, and waiting for the instant at which failures are answered.
        #expect(await becomesTrue { hasher.counted.computed.reading == 1 })
        guess.cancel()
        #expect(try await guess.value == .differs)
    }

    @Test("once shut down answers what waits and all that comes")
    func shutdown() async throws {
        try await Self.inTime { hasher in
            let password = try Password(setting: "correct horse")
            let running = Task { try await hasher.hash(password) }
            let isRunning = await Self.sees { hasher.load.running == 1 }
            let waiting = Task { try await hasher.hash(password) }
            let isWaiting = await Self.sees { hasher.load.waiting == 1 }
            hasher.shutdown()
            guard isRunning, isWaiting else {
                _ = await (running.result, waiting.result)
                return false
            }
            await #expect(throws: HashingRejection.overloaded(retryAfterSeconds: 1)) { try await waiting.value }
            #expect(try await running.value.tag.count == 32)
            await #expect(throws: HashingRejection.overloaded(retryAfterSeconds: 1)) {
                try await hasher.hash(password)
            }
            return true
        }
    }
}
