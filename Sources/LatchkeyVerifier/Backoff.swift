/// How long to wait after a failure: twice as long as the last time, up to a limit, and never all verifiers at once.
struct Backoff: Sendable {
    let first: Duration
    let limit: Duration
    private(set) var failures = 0

    init(first: Duration, limit: Duration) {
        self.first = first
        self.limit = limit
    }

    /// - Parameter jitter: 0 up to 1; the wait is between half of it and all of it.
    mutating func failed(jitter: Double) -> Duration {
        let doubled = first * (1 << min(failures, 20))
        failures += 1
        return min(doubled, limit) * (0.5 + jitter / 2)
    }

    mutating func succeeded() { failures = 0 }
}
