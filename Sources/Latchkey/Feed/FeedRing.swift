import NIOCore
import Synchronization

/// The latest events of the stream, each encoded once and shared by all followers, who read at their own pace: it holds a
/// number for each of them and nothing more. Who falls out of it is cut off, and comes back with its position.
final class FeedRing: Sendable {
    static let mostEvents = 1024
    static let mostBytes = 4 << 20
    /// Bytes after which a follower writes before it asks for more.
    private static let mostAtOnce = 128 << 10

    /// Where the stream stands: what the next event is behind of.
    struct Standing: Sendable {
        let position: FeedPosition
        let claim: RevocationList.Claim
    }

    struct Event: Sendable {
        let bytes: ByteBuffer
        /// nil where the event moves nothing.
        let standing: Standing?
    }

    enum Next: Sendable {
        case events([Event], cursor: Int)
        case timeOver
        /// Too slow, of another history, or the node shuts down.
        case cutOff
    }

    private struct Waiter {
        let cursor: Int
        let deadline: BootInstant?
        let continuation: CheckedContinuation<Next, Never>
    }

    private struct State {
        var events: [Event] = []
        /// The number of the first event held.
        var first = 0
        var bytes = 0
        var standing: Standing?
        var followers = 0
        var isOpen = true
        var waiting: [Int: Waiter] = [:]
        var lastWaiter = 0

        var end: Int { first + events.count }

        func next(_ cursor: Int) -> Next? {
            guard isOpen, cursor >= first else { return .cutOff }
            guard cursor < end else { return nil }
            // Not all at once: who takes them holds them until its reader has taken them.
            var (batch, bytes): ([Event], Int) = ([], 0)
            for event in events[(cursor - first)...] where bytes < FeedRing.mostAtOnce {
                batch.append(event)
                bytes += event.bytes.readableBytes
            }
            return .events(batch, cursor: cursor + batch.count)
        }

        mutating func takeWaiters() -> [Waiter] {
            defer { waiting = [:] }
            return Array(waiting.values)
        }
    }

    private let state = Mutex(State())
    let cutOff = Counter()

    /// One of those who follow, until it is forgotten: a response that is never written gives its place back, too.
    final class Place: Sendable {
        private let ring: FeedRing

        fileprivate init(_ ring: FeedRing) {
            self.ring = ring
        }

        deinit {
            ring.state.withLock { $0.followers -= 1 }
        }
    }

    /// nil where there are `most` already, or the node shuts down.
    func enter(most: Int) -> Place? {
        let isIn = state.withLock { state in
            guard state.isOpen, state.followers < most else { return false }
            state.followers += 1
            return true
        }
        return isIn ? Place(self) : nil
    }

    var followers: Int { state.withLock { $0.followers } }

    /// How many wait for the next event.
    var waiters: Int { state.withLock { $0.waiting.count } }

    var standing: Standing? { state.withLock { $0.standing } }

    /// From here on nothing is missed.
    func join() -> (cursor: Int, standing: Standing?) {
        state.withLock { ($0.end, $0.standing) }
    }

    /// Waits for what lies behind `cursor`.
    func next(_ cursor: Int, until deadline: BootInstant? = nil) async -> Next {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let next: Next = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let next: Next? = state.withLock { state in
                    if let next = state.next(cursor) { return next }
                    // Cancelled before this: nobody would wake it. After this: the handler does.
                    if Task.isCancelled { return .cutOff }
                    state.waiting[number] = Waiter(cursor: cursor, deadline: deadline, continuation: continuation)
                    return nil
                }
                if let next { continuation.resume(returning: next) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiting.removeValue(forKey: number) }
            waiter?.continuation.resume(returning: .cutOff)
        }
        if case .cutOff = next { cutOff.add() }
        return next
    }

    /// Without followers nothing needs to be encoded.
    /// - Returns: false where there are some.
    func skip(to standing: Standing) -> Bool {
        state.withLock { state in
            guard state.followers == 0 else { return false }
            state.first = state.end
            state.events = []
            state.bytes = 0
            state.standing = standing
            return true
        }
    }

    func append(_ event: Event) {
        let waiters = state.withLock { state in
            state.events.append(event)
            state.bytes += event.bytes.readableBytes
            if let standing = event.standing { state.standing = standing }
            // The latest stays, however large: who has followed so far gets it.
            while state.events.count > 1, state.events.count > Self.mostEvents || state.bytes > Self.mostBytes {
                state.bytes -= state.events.removeFirst().bytes.readableBytes
                state.first += 1
            }
            return state.takeWaiters()
        }
        let answers = state.withLock { state in waiters.map { state.next($0.cursor) ?? .cutOff } }
        for (waiter, next) in zip(waiters, answers) { waiter.continuation.resume(returning: next) }
    }

    /// Whoever waits beyond its deadline waits no longer.
    func expire(now: BootInstant) {
        let waiters = state.withLock { state in
            let late = state.waiting.filter { $0.value.deadline.map { $0 <= now } ?? false }
            for number in late.keys { state.waiting[number] = nil }
            return Array(late.values)
        }
        for waiter in waiters { waiter.continuation.resume(returning: .timeOver) }
    }

    /// Another history: who follows hears `last`, if it waits for something, and comes back.
    func restart(_ last: Event, at standing: Standing) {
        let waiters = state.withLock { state in
            state.first = state.end + 2
            state.events = []
            state.bytes = 0
            state.standing = standing
            return state.takeWaiters()
        }
        // The number behind `last` is one that was never held: the next call cuts off.
        for waiter in waiters { waiter.continuation.resume(returning: .events([last], cursor: waiter.cursor + 1)) }
    }

    /// Nobody follows from here on.
    func close() {
        let waiters = state.withLock { state in
            state.isOpen = false
            return state.takeWaiters()
        }
        for waiter in waiters { waiter.continuation.resume(returning: .cutOff) }
    }
}
