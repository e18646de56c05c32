import Synchronization

/// What a task waits for. Whoever comes first answers it: the reactor with the outcome, or the task's cancellation.
///
/// Cancelled in a queue, it leaves the queue: nothing was sent. Cancelled in flight, its task goes on at once and is told
/// that the outcome is unknown (a write must never pass for not done); the statement runs to its end or its deadline.
// Sendable: `stage` is touched on the reactor's thread alone.
final class Reply<Value: Sendable>: @unchecked Sendable {
    enum Stage { case arriving, waiting, inFlight, over }

    private typealias Outcome = Result<Value, PostgresError>

    private enum State {
        case unawaited
        case awaited(CheckedContinuation<Outcome, Never>)
        case answered(Outcome)
    }

    private let state = Mutex(State.unawaited)
    var stage = Stage.arriving

    func answer(_ outcome: Result<Value, PostgresError>) {
        stage = .over
        let waiting = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            defer { state = .answered(outcome) }
            return if case .awaited(let continuation) = state { continuation } else { nil }
        }
        waiting?.resume(returning: outcome)
    }

    fileprivate func await(_ continuation: CheckedContinuation<Result<Value, PostgresError>, Never>) {
        let early = state.withLock { state -> Outcome? in
            if case .answered(let outcome) = state { return outcome }
            state = .awaited(continuation)
            return nil
        }
        if let early { continuation.resume(returning: early) }
    }

    /// On the reactor's thread.
    fileprivate func cancel(_ core: ReactorCore) {
        switch stage {
        case .arriving: answer(.failure(.unavailable(.cancelled)))
        case .waiting:
            core.withdraw(ObjectIdentifier(self))
            answer(.failure(.unavailable(.cancelled)))
        case .inFlight: answer(.failure(.unknownOutcome))
        case .over: break
        }
    }
}

/// Whether the caller's cancellation ends a wait. What cleans up (ROLLBACK, a slot given back) is sent for a cancelled task
/// too, and so is what one task sends for several: one caller's going must not be the others' failure. Nor does it draw on
/// the caller's patience then.
package enum Cancellation: Sendable { case heeded, ignored }

extension Reactor {
    /// Runs `start` on the reactor's thread and waits until its reply is answered.
    func answer<Value: Sendable>(
        _ cancellation: Cancellation = .heeded, _ start: @escaping @Sendable (ReactorCore, Reply<Value>) -> Void
    ) async throws(PostgresError) -> Value {
        let reply = Reply<Value>()
        let patience = cancellation == .heeded ? Patience.current : nil
        let begun = patience == nil ? 0 : monotonicNow()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                reply.await(continuation)
                let posted = self.post { core in
                    // Cancelled before it came here: never sent.
                    if reply.stage == .arriving { start(core, reply) }
                }
                if !posted { reply.answer(.failure(.unavailable(.shutDown))) }
            }
        } onCancel: {
            if cancellation == .heeded { _ = self.post { reply.cancel($0) } }
        }
        patience?.spend(monotonicNow() - begun)
        return try outcome.get()
    }
}
