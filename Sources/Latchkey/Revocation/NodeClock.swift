import Foundation
package import Postgres
import Synchronization

/// A reading of the machine's clock that runs on through sleep and is never stepped (`CLOCK_BOOTTIME`), in nanoseconds.
package struct BootInstant: Sendable, Comparable {
    package let nanoseconds: Int64

    package init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    package static func now() -> BootInstant {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return BootInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    package static func < (a: BootInstant, b: BootInstant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Nanoseconds from `b` to `a`.
    package static func - (a: BootInstant, b: BootInstant) -> Int64 { a.nanoseconds - b.nanoseconds }
}

/// The one clock, the database's, carried between ticks on this machine's boot clock.
package final class NodeClock: Sendable {
    private struct Anchor {
        let database: Instant
        let boot: BootInstant
    }

    private let anchor = Mutex<Anchor?>(nil)

    package init() {}

    /// - Parameter boot: read **before** the database was asked, so that the carried clock is never behind it: an
    ///   expired token must not look alive.
    package func set(database: Instant, boot: BootInstant) {
        anchor.withLock { $0 = Anchor(database: database, boot: boot) }
    }

    /// Seconds by which the database's clock is ahead of this machine's wall clock; nil before the first tick. Nothing is
    /// decided by it: verifiers have wall clocks of their own, so an operator is told.
    package var offset: Double? {
        now().map { now in
            var wall = timespec()
            clock_gettime(CLOCK_REALTIME, &wall)
            return Double(now.microseconds - Int64(wall.tv_sec) * 1_000_000 - Int64(wall.tv_nsec) / 1000) / 1e6
        }
    }

    /// Beyond so many seconds of it `/readyz` and `latchkey doctor` warn.
    package static let largestOffset: Double = 2

    /// nil before the first tick.
    package func now() -> Instant? {
        anchor.withLock { anchor in
            anchor.map { Instant(microseconds: $0.database.microseconds + (BootInstant.now() - $0.boot) / 1000) }
        }
    }
}
