internal import Dispatch
internal import Foundation
internal import LibCrypto
internal import Synchronization

/// Why a password was not hashed.
package enum HashingRejection: Error, Sendable, Equatable {
    /// More is asked for than this node computes in time. RFC 9110 §10.2.3: the seconds are for Retry-After.
    case overloaded(retryAfterSeconds: Int)
    /// The task was cancelled while its job waited; nothing was computed.
    case cancelled
}

/// What comparing a password with a stored hash came to.
package enum PasswordVerdict: Sendable, Equatable {
    case matches
    /// It matches a hash weaker than the settings'. Compute the new one with `hash` after the answer, and store it
    /// only over the same old one.
    case matchesNeedsUpgrade
    case differs
}

/// Computes argon2id on threads of its own, under a budget of memory. `HashingQueue` decides, this class carries out.
///
/// Unknown, disabled and passwordless accounts queue and hash like any other, and whatever fails is answered at a
/// whole multiple of the quantum after its turn began, so that the time of an answer does not say why it failed. (A
/// stored hash of other parameters than the settings' still tells itself by a multiple, until its next login.)
package final class PasswordHasher: Sendable {
    package struct Configuration: Sendable {
        package var parameters: Argon2Parameters
        /// Memory for all hashes at the same time, in KiB. Threads: as many as it holds, at most `cores`, at least 1.
        package var memoryBudgetKiB: Int
        package var cores: Int
        /// How long a job may wait for its turn.
        package var queueWait: Duration
        /// How many jobs may wait, at about 2 KiB each.
        package var queueCapacity: Int
        /// What failures are rounded up to.
        package var failureQuantum: Duration

        package init(
            parameters: Argon2Parameters = .standard,
            memoryBudgetKiB: Int = 262_144,
            cores: Int = ProcessInfo.processInfo.activeProcessorCount,
            queueWait: Duration = .seconds(2),
            queueCapacity: Int = 1_024,
            failureQuantum: Duration = .milliseconds(25)
        ) {
            self.parameters = parameters
            self.memoryBudgetKiB = memoryBudgetKiB
            self.cores = cores
            self.queueWait = queueWait
            self.queueCapacity = queueCapacity
            self.failureQuantum = failureQuantum
        }

        var threads: Int { max(1, min(cores, memoryBudgetKiB / parameters.memoryKiB)) }
    }

    /// What it is at, for the metrics.
    package struct Load: Sendable, Equatable {
        package let waiting: Int
        package let running: Int
        package let threads: Int
    }

    package let parameters: Argon2Parameters
    private let quantum: Int64
    private let room: HashingRoom
    /// What an account without a hash is compared with.
    private let dummy: (salt: [UInt8], tag: [UInt8])

    /// Starts the threads. They run until `shutdown`.
    package init(_ configuration: Configuration) {
        parameters = configuration.parameters
        quantum = max(1, configuration.failureQuantum.nanoseconds)
        dummy = (SecureRandom.bytes(PHCString.saltLength), SecureRandom.bytes(PHCString.tagLength))
        room = HashingRoom(
            limits: .init(
                threads: configuration.threads,
                capacity: configuration.queueCapacity,
                waitLimit: configuration.queueWait.nanoseconds,
                memoryBudgetKiB: configuration.memoryBudgetKiB))
    }

    package var load: Load { room.load }
    package var counted: (computed: Counter, refused: Counter) { (room.computed, room.refused) }

    /// Hashes with a fresh salt and the settings' parameters.
    package func hash(_ password: Password) async throws(HashingRejection) -> PHCString {
        let salt = SecureRandom.bytes(PHCString.saltLength)
        let done = try await room.compute(
            .init(password: password, salt: salt, parameters: parameters, tagLength: PHCString.tagLength))
        return PHCString(parameters: parameters, freshSalt: salt, freshTag: done.tag)
    }

    /// Compares with a stored hash, or with nothing where the account is unknown, disabled or has no password: that
    /// costs the same and `differs`.
    package func verify(
        _ password: Password, against stored: PHCString?
    ) async throws(HashingRejection) -> PasswordVerdict {
        let done = try await room.compute(
            .init(
                password: password,
                salt: stored?.salt ?? dummy.salt,
                parameters: stored?.parameters ?? parameters,
                tagLength: stored?.tag.count ?? PHCString.tagLength))
        let isEqual = constantTimeEquals(done.tag, stored?.tag ?? dummy.tag)
        if let stored, isEqual {
            return stored.needsUpgrade(to: parameters) ? .matchesNeedsUpgrade : .matches
        }
        // Who hangs up now has had the guess evaluated all the same: a `cancelled` would let them guess without end, since
        // one who shuts down only the sending half still reads the answer.
        try? await room.sleep(until: Self.answer(began: done.began, ended: done.ended, quantum: quantum))
        return .differs
    }

    /// Ends the threads once they are done with what runs; what waits is answered as overloaded, and so is all that
    /// comes later.
    package func shutdown() {
        room.shutdown()
    }

    /// When a failure is answered: the first whole multiple of the quantum after the turn began, at or after its end.
    static func answer(began: Int64, ended: Int64, quantum: Int64) -> Int64 {
        let spent = max(1, ended - began)
        return began + (spent + quantum - 1) / quantum * quantum
    }
}

/// The threads, the queue under its lock, and the clock that both go by.
private final class HashingRoom: Sendable {
    struct Work: Sendable {
        let password: Password
        let salt: [UInt8]
        let parameters: Argon2Parameters
        let tagLength: Int
    }

    /// A tag, and when its turn began and ended.
    struct Done: Sendable {
        let tag: [UInt8]
        let began: Int64
        let ended: Int64
    }

    fileprivate typealias Outcome = Result<Done, HashingRejection>

    fileprivate struct Job: Sendable {
        let id: UInt64
        let work: Work
        let waiter: CheckedContinuation<Outcome, Never>
    }

    private let origin = ContinuousClock.now
    private let state: Mutex<State>
    private let ids = Atomic<UInt64>(0)
    let (computed, refused) = (Counter(), Counter())
    /// Signalled once for each thread taken off `sleepers`.
    private let wake = DispatchSemaphore(value: 0)
    private let threads: Int

    private struct State {
        var queue: HashingQueue<Job>
        /// Threads that found nothing and wait, or are about to.
        var sleepers = 0

        /// True where a thread is to be woken by a signal after the lock.
        mutating func takeSleeper() -> Bool {
            guard sleepers > 0 else { return false }
            sleepers -= 1
            return true
        }
    }

    init(limits: HashingQueue<Job>.Limits) {
        state = Mutex(State(queue: HashingQueue(limits: limits)))
        threads = limits.threads
        for number in 1...limits.threads {
            let thread = Thread { [self] in serve() }
            thread.name = "hash-\(number)"
            thread.start()
        }
    }

    var load: PasswordHasher.Load {
        state.withLock { .init(waiting: $0.queue.waitingCount, running: $0.queue.runningCount, threads: threads) }
    }

    func compute(_ work: Work) async throws(HashingRejection) -> Done {
        let id = ids.add(1, ordering: .relaxed).newValue
        let outcome: Outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                let job = Job(id: id, work: work, waiter: waiter)
                let (arrival, wakes) = state.withLock {
                    let arrival = $0.queue.arrive(job, id: id, parameters: work.parameters, now: now)
                    return (arrival, arrival == .accepted && $0.takeSleeper())
                }
                switch arrival {
                case .accepted:
                    if wakes { wake.signal() }
                    // A task cancelled before its job arrived has run its handler in vain: look once more.
                    if Task.isCancelled { cancel(id) }
                case .refused(let wait):
                    refused.add()
                    waiter.resume(returning: .failure(.overloaded(retryAfterSeconds: Self.retryAfter(wait))))
                case .stopped:
                    waiter.resume(returning: .failure(.overloaded(retryAfterSeconds: 1)))
                }
            }
        } onCancel: {
            cancel(id)
        }
        return try outcome.get()
    }

    func sleep(until instant: Int64) async throws {
        try await Task.sleep(until: origin.advanced(by: .nanoseconds(instant)), clock: .continuous)
    }

    func shutdown() {
        let (left, sleepers) = state.withLock {
            let sleepers = $0.sleepers
            $0.sleepers = 0
            return ($0.queue.stop(), sleepers)
        }
        for job in left { job.waiter.resume(returning: .failure(.overloaded(retryAfterSeconds: 1))) }
        for _ in 0..<sleepers { wake.signal() }
    }

    /// Nanoseconds since this room was made.
    private var now: Int64 { (ContinuousClock.now - origin).nanoseconds }

    private func cancel(_ id: UInt64) {
        switch state.withLock({ $0.queue.cancel(id: id) }) {
        case .removed(let job): job.waiter.resume(returning: .failure(.cancelled))
        case .notWaiting: break
        }
    }

    /// A thread's life.
    private func serve() {
        while true {
            let turn = state.withLock {
                let turn = $0.queue.nextTurn(now: now)
                if case .nothing = turn { $0.sleepers += 1 }
                return turn
            }
            switch turn {
            case .run(let job):
                run(job)
            case .expired(let job):
                refused.add()
                job.waiter.resume(returning: .failure(.overloaded(retryAfterSeconds: 1)))
            case .nothing:
                wake.wait()
            case .stopped:
                return
            }
        }
    }

    private func run(_ job: Job) {
        let began = now
        let outcome: Outcome
        do {
            let tag = try Argon2id.hash(
                password: job.work.password.bytes, salt: job.work.salt, secret: [], associatedData: [],
                parameters: job.work.parameters, tagLength: job.work.tagLength)
            computed.add()
            outcome = .success(.init(tag: tag, began: began, ended: now))
        } catch {
            // Short of memory: like any other overload, and never a verdict on the password.
            outcome = .failure(.overloaded(retryAfterSeconds: 1))
        }
        // This thread takes the next job itself. Another may have found that its memory was in use: wake it too.
        let wakes = state.withLock {
            switch $0.queue.finished(id: job.id, now: now) {
            case .moreWaits: $0.takeSleeper()
            case .idle: false
            }
        }
        if wakes { wake.signal() }
        job.waiter.resume(returning: outcome)
    }

    /// Whole seconds, at least one.
    private static func retryAfter(_ wait: Int64) -> Int {
        Int(max(1, (wait + 999_999_999) / 1_000_000_000))
    }
}

extension Duration {
    /// Whole nanoseconds; durations here are far below the 292 years that fit.
    fileprivate var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
