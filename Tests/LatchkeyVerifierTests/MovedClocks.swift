import Synchronization

@testable import LatchkeyVerifier

/// This machine's clocks, and how far the test has moved them.
final class MovedClocks: Sendable {
    private let shift = Mutex(ClockReading(boot: 0, wall: 0))

    var clocks: Clocks {
        Clocks { [self] in
            let now = ClockReading.now()
            let shift = shift.withLock { $0 }
            return ClockReading(boot: now.boot + shift.boot, wall: now.wall + shift.wall)
        }
    }

    /// Both clocks, as if so long had passed.
    func advance(_ duration: Duration) { move(boot: duration, wall: duration) }

    func move(boot: Duration = .zero, wall: Duration) {
        shift.withLock { shift in
            shift.boot += boot.nanoseconds
            shift.wall += wall.nanoseconds / 1_000_000
        }
    }
}
