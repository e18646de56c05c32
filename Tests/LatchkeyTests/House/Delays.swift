/// How long each of many took.
struct Delays: CustomStringConvertible {
    private var all: [Duration] = []

    mutating func add(_ delay: Duration) { all.append(delay) }

    /// What so large a share of them took at most: 0.5 is the median, 0.99 p99.
    subscript(share: Double) -> Duration {
        let sorted = all.sorted()
        return sorted[max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1)]
    }

    var description: String {
        func text(_ share: Double) -> String { "\(Double((self[share] / .microseconds(100)).rounded()) / 10) ms" }
        return "p50 \(text(0.5)), p99 \(text(0.99)), most \(text(1))"
    }
}
