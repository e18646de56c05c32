/// By which of three ways the feed is followed: pure. The stream, where it comes through; else held answers; else plain
/// polls. From the lesser ones the stream is tried again once a minute.
struct Transport: Sendable {
    enum Way: String, Sendable, CaseIterable {
        case stream
        case longPoll = "long_poll"
        case poll
    }

    /// After so many failures in a row the next way is tried.
    private static let patience = 2
    private static let retryStream = Duration.seconds(60).nanoseconds

    private(set) var way = Way.stream
    private var failures = 0
    /// When the stream was last given up.
    private var leftStreamAt: Int64?
    private var isProbing = false

    /// What to try now.
    mutating func next(now: Int64) -> Way {
        if way != .stream, let left = leftStreamAt, now - left >= Self.retryStream {
            isProbing = true
            leftStreamAt = now
            return .stream
        }
        return way
    }

    /// A message came by `used`.
    mutating func succeeded(by used: Way) {
        if isProbing, used == .stream { way = .stream }
        isProbing = false
        failures = 0
    }

    mutating func failed(by used: Way, now: Int64) {
        if isProbing, used == .stream, way != .stream {
            isProbing = false
            return
        }
        failures += 1
        guard failures >= Self.patience else { return }
        failures = 0
        switch way {
        case .stream:
            way = .longPoll
            leftStreamAt = now
        case .longPoll: way = .poll
        case .poll: way = .stream
        }
    }
}
