import Foundation
import LibCrypto
import Synchronization

/// Threads on which RSA is computed, so that a signature of a millisecond delays no event loop and no other request's
/// step. As many as cores; what waits is bounded, and beyond that refused.
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

    package init(threads: Int = ProcessInfo.processInfo.activeProcessorCount, capacity: Int = 4096) {
        self.threads = threads
        self.capacity = capacity
        for number in 0..<threads {
            let thread = Thread { [self] in loop() }
            thread.name = "signing-\(number)"
            thread.start()
        }
    }

    package struct Overloaded: Error {}

    /// Runs `work` on one of the threads. Throws `Overloaded` where too many wait already.
    package func run<R: Sendable>(_ work: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            let job = Job(
                work: { continuation.resume(with: Result { try work() }) },
                refuse: { continuation.resume(throwing: Overloaded()) })
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
