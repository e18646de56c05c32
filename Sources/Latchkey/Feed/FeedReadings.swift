import Synchronization

/// Whoever waits for the list to be read again, woken all at once: none of them looks by itself.
final class FeedReadings: Sendable {
    private struct State {
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isOpen = true
    }

    private let state = Mutex(State())

    /// Returns after the next reading, and now and then without one: who waits looks whether it is what was waited for, and
    /// how late it is.
    ///
    /// - Returns: false where no other follows, since the node shuts down: then it returns at once, and who asked again
    ///   and again would take a thread that others need to end.
    func next() async -> Bool {
        await withCheckedContinuation { continuation in
            let waits = state.withLock { state in
                if state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if !waits { continuation.resume() }
        }
        return state.withLock { $0.isOpen }
    }

    func wake() {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Nobody waits from here on.
    func close() {
        state.withLock { $0.isOpen = false }
        wake()
    }
}
