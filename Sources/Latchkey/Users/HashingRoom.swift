internal import Dispatch
internal import Foundation
internal import Glibc
internal import LibCrypto
internal import Synchronization

/// The threads, the queue under its lock, and the clock that both go by.
final class HashingRoom: Sendable {
    struct Work: Sendable {
        let password: Password
        let salt: [UInt8]
        let secret: SecretBytes?
        let parameters: Argon2Parameters
        let tagLength: Int
    }

    /// A tag, and when its turn began and ended.
    struct Done: Sendable {
        let tag: [UInt8]
        let began: Int64
        let ended: Int64
    }

    typealias Outcome = Result<Done, HashingRejection>

    struct Job: Sendable {
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

    func requireRoom() throws(HashingRejection) {
        guard let wait = state.withLock({ $0.queue.refusal }) else { return }
        refused.add()
        throw .overloaded(retryAfterSeconds: Self.retryAfter(wait))
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

    /// A thread's life. Whatever else this machine serves goes first: a hash may wait a moment, a refresh should not wait
    /// for hashes. (On Linux a priority is the thread's own, whatever the name of the call says.)
    private func serve() {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 5)
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
            let secret = job.work.secret?.withBytes { Array($0) } ?? []
            let tag = try Argon2id.hash(
                password: job.work.password.bytes, salt: job.work.salt, secret: secret, associatedData: [],
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
