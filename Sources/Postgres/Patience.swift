import Synchronization

/// How long one request waits for the database in all, however many statements it takes: each has its own deadline, and
/// a slow database would let a journey of four wait four times as long. Time spent on anything else does not count.
package final class Patience: Sendable {
    /// That of the request whose task this is; nil: each statement's own deadline alone.
    @TaskLocal package static var current: Patience?

    private let left: Atomic<Int64>

    /// - Parameter nanoseconds: as the statement's deadline is.
    package init(nanoseconds: Int64) {
        left = Atomic(nanoseconds)
    }

    /// How long the next statement may wait.
    package func bounded(_ timeout: Int64) -> Int64 { min(timeout, max(0, left.load(ordering: .relaxed))) }

    /// Time that was waited for the database by another way than a statement of one's own.
    package func spend(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        spend(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    func spend(_ nanoseconds: Int64) { left.subtract(nanoseconds, ordering: .relaxed) }
}
