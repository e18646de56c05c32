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

    package func advanced(by nanoseconds: Int64) -> BootInstant {
        BootInstant(nanoseconds: self.nanoseconds + nanoseconds)
    }

    /// Nanoseconds from `b` to `a`.
    package static func - (a: BootInstant, b: BootInstant) -> Int64 { a.nanoseconds - b.nanoseconds }
}

/// The one clock, the database's, carried between ticks on this machine's boot clock: as it is, for tokens, and steady,
/// for keys and entries.
package final class NodeClock: Sendable {
    private struct State {
        var database: (time: Instant, boot: BootInstant)?
        var steady = SteadyClock()
    }

    private let state = Mutex(State())
    /// Steps of the database's clock that this node has noticed.
    package let steps = Counter()

    package init() {}

    /// A reading of both clocks. The one for tokens counts from **before** the database was asked, so that what is carried
    /// is never behind it: an expired token must not look alive.
    /// - Parameter settling: seconds that a step takes to settle.
    /// - Returns: the step that it shows.
    package func take(_ sample: SteadyClock.Sample, settling: Int64) -> SteadyClock.Step? {
        let step = state.withLock { state in
            state.database = (sample.raw, sample.begun)
            return state.steady.take(sample, settling: settling)
        }
        if step != nil { steps.add() }
        return step
    }

    /// Whether a reading made for a decision shows no step; the next tick tells of one that it shows.
    package func agrees(with sample: SteadyClock.Sample) -> Bool { state.withLock { $0.steady.agrees(with: sample) } }

    /// The last step, until it is settled.
    package var step: SteadyClock.Step? { state.withLock { $0.steady.step } }

    /// The clock of keys and entries; nil before the first tick.
    package var reading: ClockReading? { state.withLock { $0.steady.reading(at: .now()) } }

    /// The largest time read, which a minting statement's is later than, unless the clock was stepped back meanwhile.
    package var largest: Instant? { state.withLock { $0.steady.largest } }

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

    /// The database's own clock, for tokens; nil before the first tick.
    package func now() -> Instant? {
        state.withLock { state in
            state.database.map { Instant(microseconds: $0.time.microseconds + (BootInstant.now() - $0.boot) / 1000) }
        }
    }
}
