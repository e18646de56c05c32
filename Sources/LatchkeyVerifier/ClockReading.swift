internal import Foundation

/// What this machine's two clocks showed at one moment.
///
/// Freshness is counted on the boot clock (`CLOCK_BOOTTIME`), which runs on through sleep and is never stepped. The
/// wall clock only judges `exp`, and betrays a machine that was paused as a whole: there the boot clock stood still
/// too.
struct ClockReading: Sendable, Equatable {
    /// Nanoseconds on the boot clock.
    var boot: Int64
    /// Milliseconds since 1970 on the wall clock.
    var wall: Int64

    init(boot: Int64, wall: Int64) {
        self.boot = boot
        self.wall = wall
    }

    static func now() -> ClockReading {
        var boot = timespec()
        var wall = timespec()
        clock_gettime(CLOCK_BOOTTIME, &boot)
        clock_gettime(CLOCK_REALTIME, &wall)
        return ClockReading(
            boot: Int64(boot.tv_sec) * 1_000_000_000 + Int64(boot.tv_nsec),
            wall: Int64(wall.tv_sec) * 1000 + Int64(wall.tv_nsec) / 1_000_000)
    }
}

/// Where a verifier reads the time: the machine's clocks, or a test's.
struct Clocks: Sendable {
    let read: @Sendable () -> ClockReading

    static let machine = Clocks { ClockReading.now() }
}

extension Duration {
    /// Whole nanoseconds; clamped to what 64 bits hold, 292 years either way.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflow || carry ? (seconds < 0 ? .min : .max) : sum
    }
}
