import Synchronization

/// Tells tasks that a state which others write has changed. It holds no state itself: who waits reads the number first,
/// then the state, then waits for a later number, so that no change falls between.
final class Changes: Sendable {
    private struct State {
        var number: UInt64 = 0
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// How many changes there have been.
    var number: UInt64 { state.withLock { $0.number } }

    /// Called after the state was changed.
    func announce() {
        let waiters = state.withLock { state in
            state.number += 1
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when there has been a change after `number`, or when the task is cancelled.
    func wait(after number: UInt64) async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // A cancellation that came before the waiter stands in the table is seen here; one that comes later
                // finds it there.
                let isLate = state.withLock { state in
                    if state.number > number || Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isLate { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }

    /// Waits until `condition` gives a value, for at most `limit`.
    /// - Returns: nil at the limit and when the task is cancelled.
    func firstValue<Value: Sendable>(
        within limit: Duration, _ condition: @Sendable () -> Value?
    ) async -> Value? {
        let deadline = ContinuousClock.now + limit
        while true {
            let number = number
            if let value = condition() { return value }
            guard !Task.isCancelled, ContinuousClock.now < deadline else { return nil }
            await wait(after: number, until: deadline)
        }
    }

    /// Returns at the next change, at `deadline`, or when the task is cancelled.
    func wait(after number: UInt64, until deadline: ContinuousClock.Instant) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait(after: number) }
            group.addTask { try? await Task.sleep(until: deadline, clock: .continuous) }
            await group.next()
            group.cancelAll()
        }
    }
}
