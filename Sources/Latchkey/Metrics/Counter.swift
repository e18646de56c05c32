import Synchronization

/// What is counted and measured, and the text that Prometheus reads (`GET /metrics`). This room owns the instruments and
/// the text's grammar; who owns what is counted (sessions, keys, hashing) holds its own instruments. Labels are closed
/// enums or templates of routes, so that no caller can add a series, and no id, name or secret can stand in one.
///
/// Counted is what came to pass, after its commit; `Event` is the audit row inside the transaction. A transaction that is
/// rolled back leaves neither, but an audit row must not wait for the commit, nor a count precede it.

/// A number that only grows. Any thread adds to it, for one atomic addition.
package final class Counter: Sendable {
    private let value = Atomic<UInt64>(0)

    package init() {}

    package func add(_ count: Int = 1) {
        value.wrappingAdd(UInt64(max(0, count)), ordering: .relaxed)
    }

    package var reading: UInt64 { value.load(ordering: .relaxed) }
}

/// A closed set of values of one label. Not `RawRepresentable`: its `==` would compare texts.
package protocol MetricLabel: CaseIterable, Equatable, Sendable {
    /// A word of lower case letters, digits and `-`.
    var label: String { get }
}

/// A counter for each value of a label.
package final class CounterFamily<Label: MetricLabel>: Sendable {
    private let counters: [(label: Label, counter: Counter)]

    package init() {
        counters = Label.allCases.map { ($0, Counter()) }
    }

    package func add(_ label: Label, _ count: Int = 1) {
        // A handful of bytes to compare: cheaper than a hash.
        for (each, counter) in counters where each == label { return counter.add(count) }
    }

    package subscript(label: Label) -> UInt64 {
        counters.first { $0.label == label }?.counter.reading ?? 0
    }

    /// In the order of the cases; each stands there from the start, so that a rate over its first count is right.
    package var readings: [(label: String, count: UInt64)] { counters.map { ($0.label.label, $0.counter.reading) } }
}

/// How long things took, in buckets that are the same for all, so that they can be added up and compared.
package final class Histogram: Sendable {
    /// Upper bounds in microseconds: from a look-up in memory to a statement's deadline and beyond.
    package static let bounds: [UInt64] = [
        500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    ]

    /// One more than there are bounds, and two to spare.
    private let buckets = InlineArray<16, Atomic<UInt64>> { _ in Atomic(0) }
    private let nanoseconds = Atomic<UInt64>(0)

    package init() {}

    package func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let spent = UInt64(max(0, seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000))
        var bucket = 0
        while bucket < Self.bounds.count, spent > Self.bounds[bucket] &* 1_000 { bucket += 1 }
        buckets[bucket].wrappingAdd(1, ordering: .relaxed)
        nanoseconds.wrappingAdd(spent, ordering: .relaxed)
    }

    /// The bounds in seconds.
    package static let seconds = bounds.map { Double($0) / 1e6 }

    /// Counts by bucket, the last for what no bound holds, and the sum in seconds.
    package var reading: (buckets: [UInt64], sum: Double) {
        (
            (0...Self.bounds.count).map { buckets[$0].load(ordering: .relaxed) },
            Double(nanoseconds.load(ordering: .relaxed)) / 1e9
        )
    }
}
