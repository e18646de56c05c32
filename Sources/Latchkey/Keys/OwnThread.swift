import Dispatch
import Foundation
import Synchronization

/// Runs `work` on a thread of its own: what generates a key or asks a token takes up to seconds, and neither a cooperative
/// thread nor one that signs tokens may stand still for it.
///
/// Whoever waits is let go at `limit`, or when it is cancelled: a token that hangs would hold up a graceful stop for ever.
/// The thread ends when its call does.
///
/// - Parameter unheard: gets on that thread what `work` came to when nobody waited for it any more.
/// - Throws: what `work` throws; `TookTooLong`; `CancellationError`.
func onOwnThread<R: Sendable>(
    within limit: Duration, unheard: @escaping @Sendable (R) -> Void = { _ in },
    _ work: @escaping @Sendable () throws -> R
) async throws -> R {
    let answer = FirstAnswer<R>()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            answer.wait(continuation, within: limit)
            Thread {
                let result = Result { try work() }
                if !answer.give(result), case .success(let value) = result { unheard(value) }
            }.start()
        }
    } onCancel: {
        answer.give(.failure(CancellationError()))
    }
}

package struct TookTooLong: LoggableError {
    package var loggable: String { "it took too long, and was not waited for" }
    package var retryAfter: Int? { 5 }
}

/// Of several that may answer one who waits the first one does: the work, its deadline, a cancellation.
final class FirstAnswer<R: Sendable>: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<R, any Error>)
        /// By somebody who was quicker than whoever waits.
        case early(Result<R, any Error>)
        case given
    }

    private let state = Mutex(State.open)

    /// Nobody waits any more.
    var isGiven: Bool {
        state.withLock { state in
            if case .given = state { return true }
            return false
        }
    }

    func wait(_ continuation: CheckedContinuation<R, any Error>, within limit: Duration) {
        let early: Result<R, any Error>? = state.withLock { state in
            if case .early(let result) = state {
                state = .given
                return result
            }
            state = .awaited(continuation)
            return nil
        }
        if let early { return continuation.resume(with: early) }
        let nanoseconds = Int(limit / .nanoseconds(1))
        DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(nanoseconds)) { [self] in
            give(.failure(TookTooLong()))
        }
    }

    /// - Returns: whether it is what whoever waits gets.
    @discardableResult
    func give(_ result: Result<R, any Error>) -> Bool {
        let (isFirst, continuation): (Bool, CheckedContinuation<R, any Error>?) = state.withLock { state in
            switch state {
            case .open:
                state = .early(result)
                return (true, nil)
            case .awaited(let continuation):
                state = .given
                return (true, continuation)
            case .early, .given: return (false, nil)
            }
        }
        continuation?.resume(with: result)
        return isFirst
    }
}
