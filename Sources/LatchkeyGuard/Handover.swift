internal import NIOCore
internal import Synchronization

/// Hands pieces from one task to another, one at a time: who offers waits until his piece is taken, so that a slow service
/// slows its caller and nothing piles up here. For one task on each side. Either may leave, and then the other does not
/// wait for it.
final class Handover: Sendable {
    private enum State {
        case idle
        case offered(ByteBuffer, CheckedContinuation<Void, Never>)
        case awaited(CheckedContinuation<ByteBuffer?, any Error>)
        /// Nothing more comes; with an error the body was cut off.
        case ended((any Error)?)
        /// Nobody takes any more.
        case abandoned
    }

    private let state = Mutex(State.idle)

    /// Returns once the piece is taken, or at once where nobody takes any more.
    func offer(_ piece: ByteBuffer) async {
        await withCheckedContinuation { giver in
            let taker = state.withLock { state -> CheckedContinuation<ByteBuffer?, any Error>? in
                switch state {
                case .idle:
                    state = .offered(piece, giver)
                    return nil
                case .awaited(let taker):
                    state = .idle
                    giver.resume()
                    return taker
                case .offered, .ended, .abandoned:
                    giver.resume()
                    return nil
                }
            }
            taker?.resume(returning: piece)
        }
    }

    /// The next piece; nil behind the last.
    /// - Throws: what the body was cut off by; `CancellationError` where it is abandoned.
    func take() async throws -> ByteBuffer? {
        try await withCheckedThrowingContinuation { taker in
            let found = state.withLock { state -> Result<ByteBuffer?, any Error>? in
                switch state {
                case .idle:
                    state = .awaited(taker)
                    return nil
                case .offered(let piece, let giver):
                    state = .idle
                    giver.resume()
                    return .success(piece)
                case .ended(nil): return .success(nil)
                case .ended(let error?): return .failure(error)
                case .awaited, .abandoned: return .failure(CancellationError())
                }
            }
            if let found { taker.resume(with: found) }
        }
    }

    /// Nothing more is offered.
    func end(_ error: (any Error)?) {
        let taker = state.withLock { state -> CheckedContinuation<ByteBuffer?, any Error>? in
            switch state {
            case .awaited(let taker):
                state = .ended(error)
                return taker
            case .idle:
                state = .ended(error)
                return nil
            case .offered, .ended, .abandoned: return nil
            }
        }
        guard let taker else { return }
        if let error { taker.resume(throwing: error) } else { taker.resume(returning: nil) }
    }

    /// Nothing more is taken.
    func abandon() {
        state.withLock { state in
            switch state {
            case .offered(_, let giver): giver.resume()
            case .awaited(let taker): taker.resume(throwing: CancellationError())
            case .idle, .ended, .abandoned: break
            }
            state = .abandoned
        }
    }
}
