import Foundation
import LatchkeyTesting
import Synchronization
import Testing

@testable import Latchkey

/// Work that takes as long as it likes, and callers who do not wait for ever.
@Suite struct `Work on threads of its own` {
    /// Holds threads until it is opened.
    private final class Gate: Sendable {
        private let semaphore = DispatchSemaphore(value: 0)
        let entered = Mutex(0)

        func pass() {
            entered.withLock { $0 += 1 }
            semaphore.wait()
        }

        func open(_ count: Int) { for _ in 0..<count { semaphore.signal() } }
    }

    private struct Refused: Error, Equatable {}

    @Test func `answers with what it comes to, or throws that`() async throws {
        #expect(try await onOwnThread(within: .seconds(10)) { 7 } == 7)
        await #expect(throws: Refused()) { try await onOwnThread(within: .seconds(10)) { throw Refused() } }
    }

    @Test func `lets its caller go at the limit, and ends unheard`() async throws {
        let gate = Gate()
        let start = ContinuousClock.now
        await #expect(throws: TookTooLong.self) { try await onOwnThread(within: .milliseconds(50)) { gate.pass() } }
        #expect(ContinuousClock.now - start < .seconds(5))
        gate.open(1)
    }

    @Test func `lets its caller go when that is cancelled, before or while it waits`() async throws {
        let gate = Gate()
        let task = Task { try await onOwnThread(within: .seconds(60)) { gate.pass() } }
        #expect(await becomesTrue { gate.entered.withLock { $0 } == 1 })
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        let early = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await onOwnThread(within: .seconds(60)) { gate.pass() }
        }
        await #expect(throws: CancellationError.self) { try await early.value }
        gate.open(2)
    }

    /// A key that a token has made for nobody.
    @Test func `hands on what nobody waited for, and nothing else`() async throws {
        let unheard = Mutex<[Int]>([])
        @Sendable func hear(_ number: Int) { unheard.withLock { $0.append(number) } }
        let gate = Gate()
        await #expect(throws: TookTooLong.self) {
            try await onOwnThread(within: .milliseconds(50), unheard: hear) {
                gate.pass()
                return 1
            }
        }
        gate.open(1)
        #expect(await becomesTrue { unheard.withLock { $0 } == [1] })
        let task = Task {
            try await onOwnThread(within: .seconds(60), unheard: hear) {
                gate.pass()
                return 2
            }
        }
        #expect(await becomesTrue { gate.entered.withLock { $0 } == 2 })
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        gate.open(1)
        #expect(await becomesTrue { unheard.withLock { $0 } == [1, 2] })
        #expect(try await onOwnThread(within: .seconds(10), unheard: hear) { 3 } == 3)
        #expect(unheard.withLock { $0 } == [1, 2])
    }

    /// A PKCS #11 token that hangs.
    @Test func `signing threads with patience answer in time while all of them stand still, and go on after`()
        async throws
    {
        let gate = Gate()
        let threads = SigningThreads(threads: 2, capacity: 16, patience: .milliseconds(100))
        defer { threads.shutDown() }
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<6 {
                group.addTask {
                    do {
                        try await threads.run { gate.pass() }
                        return false
                    } catch {
                        return error is TookTooLong
                    }
                }
            }
            for await isLate in group { #expect(isLate) }
        }
        gate.open(2)
        #expect(await becomes { try? await threads.run { 7 } } == 7)
        // Those that waited behind them were never begun: nobody waits for what they would have come to.
        #expect(gate.entered.withLock { $0 } == 2)
    }
}
