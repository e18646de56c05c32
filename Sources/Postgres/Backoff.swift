/// When the next attempt may begin after failed ones: after 50 ms, then twice as long each time up to a second, each
/// pause cut by up to a half by chance, so that the nodes of an installation do not all return to a database in the same
/// instant. Pure: times are nanoseconds of the monotonic clock, chance is an argument.
struct Backoff {
    private static let first: Int64 = 50_000_000
    private static let longest: Int64 = 1_000_000_000

    private var failures = 0
    private(set) var notBefore: Int64 = 0

    mutating func succeeded() {
        failures = 0
        notBefore = 0
    }

    /// - Parameter chance: any number, each as likely as another.
    mutating func failed(now: Int64, chance: UInt64) {
        let whole = min(Self.longest, Self.first << Int64(min(failures, 5)))
        failures += 1
        notBefore = now + whole - Int64(chance % UInt64(whole / 2 + 1))
    }
}
