import Foundation
import LibCrypto
import Synchronization

/// Threads on which RSA is computed, so that a signature of a millisecond delays no event loop and no other request's
/// step. As many as cores; what waits is bounded, and beyond that refused.
///
/// Signatures of a PKCS #11 token have threads of their own, and their callers' `patience` an end: a token that hangs keeps
/// every thread that asked it, and must keep neither other keys' signatures nor whoever waits.
package final class SigningThreads: Sendable {
    private struct Job: Sendable {
        let work: @Sendable () -> Void
        let refuse: @Sendable () -> Void
    }

    private struct State {
        var jobs: [Job] = []
        var head = 0
        var isOpen = true
    }

    private let state = Mutex(State())
    package let signed = Counter()
    package let refused = Counter()
    private let wake = DispatchSemaphore(value: 0)
    private let capacity: Int
    private let threads: Int
    private let patience: Duration?

    /// - Parameter patience: how long a caller waits; nil: until its turn has come and gone.
    package init(
        threads: Int = ProcessInfo.processInfo.activeProcessorCount, capacity: Int = 4096, patience: Duration? = nil
    ) {
        self.threads = threads
        self.capacity = capacity
        self.patience = patience
        for number in 0..<threads {
            let thread = Thread { [self] in loop() }
            thread.name = "signing-\(number)"
            thread.start()
        }
    }

    package struct Overloaded: Error {}

    /// Runs `work` on one of the threads. Throws `Overloaded` where too many wait already, `TookTooLong` behind the
    /// caller's patience.
    package func run<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            guard let patience else {
                return add(
                    Job(
                        work: { continuation.resume(with: Result { try work() }) },
                        refuse: { continuation.resume(throwing: Overloaded()) }))
            }
            let answer = FirstAnswer<R>()
            answer.wait(continuation, within: patience)
            add(
                Job(
                    // The token is not asked for what nobody waits for any more.
                    work: { if !answer.isGiven { answer.give(Result { try work() }) } },
                    refuse: { answer.give(.failure(Overloaded())) }))
        }
    }

    private func add(_ job: Job) {
        let accepted = state.withLock { state in
            guard state.isOpen, state.jobs.count - state.head < capacity else { return false }
            state.jobs.append(job)
            return true
        }
        if accepted {
            wake.signal()
        } else {
            refused.add()
            job.refuse()
        }
    }

    private func loop() {
        while true {
            wake.wait()
            let job: Job? = state.withLock { state in
                guard state.head < state.jobs.count else { return nil }
                defer {
                    state.head += 1
                    if state.head == state.jobs.count || state.head > 1024 {
                        state.jobs.removeFirst(state.head)
                        state.head = 0
                    }
                }
                return state.jobs[state.head]
            }
            guard let job else { return }  // a wake without work: shut down
            job.work()
            signed.add()
        }
    }

    package var waitingCount: Int { state.withLock { $0.jobs.count - $0.head } }

    /// Ends the threads once what waits is done.
    package func shutDown() {
        state.withLock { $0.isOpen = false }
        for _ in 0..<threads { wake.signal() }
    }
}
