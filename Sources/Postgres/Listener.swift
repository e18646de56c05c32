/// What a LISTEN tells: a nudge to look, never the truth itself (a notification sent while the connection was down is
/// lost, so `listening` comes after each reconnect and means "look now").
package enum Notification: Sendable {
    case listening
    case notified
}

/// LISTEN on one channel, on a connection of its own that is made again whenever it breaks. Lives on the reactor's
/// thread.
final class Listener {
    private let channel: StaticString
    private let continuation: AsyncStream<Notification>.Continuation
    private var isListening = false
    private var backoff = Backoff()

    init(channel: StaticString, _ continuation: AsyncStream<Notification>.Continuation) {
        self.channel = channel
        self.continuation = continuation
    }

    func start(_ core: ReactorCore) {
        guard core.isRunning else { return finish() }
        isListening = false
        _ = core.open { [weak self, unowned core] connection, event in
            guard let self else { return }
            switch event {
            case .ready: listen(on: connection)
            case .notified: continuation.yield(.notified)
            case .lost:
                // After a connection that worked, too: a server may take connections and drop them at once.
                backoff.failed(now: monotonicNow(), chance: .random(in: .min ... .max))
                core.at(backoff.notBefore) { self.start(core) }
            }
        }
    }

    private func listen(on connection: Connection) {
        guard !isListening else { return }
        isListening = true
        let deadline = monotonicNow() + 2_000_000_000
        connection.run(
            Batch(queries: ["LISTEN \(literal: channel)"], deadline: deadline) {
                [weak self, unowned connection] outcome in
                guard let self, case .done = outcome else { return connection.close() }
                backoff.succeeded()
                continuation.yield(.listening)
            })
    }

    func finish() {
        continuation.finish()
    }
}
