/// A moment of the database's clock (rule "one clock": every decision of the service rests on it), in microseconds
/// since 1970-01-01 UTC, the grain of `timestamptz`.
package struct Instant: Sendable, Hashable, Comparable {
    package var microseconds: Int64

    package init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    package init(seconds: Int64) {
        self.init(microseconds: seconds * 1_000_000)
    }

    /// Whole seconds, rounded down: a NumericDate (RFC 7519 §2) must never lie in a verifier's future.
    package var seconds: Int64 {
        let (quotient, remainder) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return remainder < 0 ? quotient - 1 : quotient
    }

    package var milliseconds: Int64 { microseconds / 1000 }

    package static func < (a: Instant, b: Instant) -> Bool { a.microseconds < b.microseconds }

    package static func + (a: Instant, seconds: Int64) -> Instant {
        Instant(microseconds: a.microseconds + seconds * 1_000_000)
    }

    package static func - (a: Instant, seconds: Int64) -> Instant { a + -seconds }

    /// Microseconds from `b` to `a`; negative where `a` is the earlier.
    package static func - (a: Instant, b: Instant) -> Int64 { a.microseconds - b.microseconds }
}
