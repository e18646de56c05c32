package import Metrics
internal import Synchronization

/// Keeps what swift-metrics counts and measures, and writes it as Prometheus' text format 0.0.4. Counters and gauges are
/// all that is measured here; of a timer the number and the sum are kept.
package final class MetricsRegistry: MetricsFactory {
    private struct Series: Hashable {
        let name: String
        /// As it stands in the text: `{reason="expired"}`, or nothing.
        let labels: String
    }

    private enum Kind: String { case counter, gauge, summary }

    private let instruments = Mutex<[Series: Instrument]>([:])

    package init() {}

    /// Makes this the process's. Once, before anything is counted.
    package func install() { MetricsSystem.bootstrap(self) }

    /// Names and labels are the program's own; what a Prometheus name may not hold becomes `_`.
    private func instrument(_ label: String, _ dimensions: [(String, String)], _ kind: Kind) -> Instrument {
        let name = String(
            decoding: label.utf8.map { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x30...0x3A: byte
                default: UInt8(ascii: "_")
                }
            }, as: UTF8.self)
        let pairs = dimensions.map { name, value in "\(name)=\"\(Self.escaped(value))\"" }
        let series = Series(name: name, labels: pairs.isEmpty ? "" : "{\(pairs.joined(separator: ","))}")
        return instruments.withLock { instruments in
            if let instrument = instruments[series] { return instrument }
            let instrument = Instrument(kind: kind.rawValue)
            instruments[series] = instrument
            return instrument
        }
    }

    /// A label's value: backslash, quote and line feed are escaped.
    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    package var text: String {
        let all = instruments.withLock { instruments in
            instruments.sorted { ($0.key.name, $0.key.labels) < ($1.key.name, $1.key.labels) }
        }
        var (text, family) = ("", "")
        for (series, instrument) in all {
            if series.name != family {
                family = series.name
                text += "# TYPE \(family) \(instrument.kind)\n"
            }
            let (value, count) = instrument.reading
            if instrument.kind == Kind.summary.rawValue {
                text +=
                    "\(family)_sum\(series.labels) \(Self.number(value))\n\(family)_count\(series.labels) \(count)\n"
            } else {
                text += "\(family)\(series.labels) \(Self.number(value))\n"
            }
        }
        return text
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        instrument(label, dimensions, .counter)
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        instrument(label, dimensions, .gauge)
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        instrument(label, dimensions, .summary)
    }

    /// What was counted stays: a series that ends looks like a restart.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}
}

/// One series: a number, and how often it was added to.
private final class Instrument: CounterHandler, RecorderHandler, TimerHandler {
    let kind: String
    private let state = Mutex((value: 0.0, count: 0))

    init(kind: String) {
        self.kind = kind
    }

    var reading: (value: Double, count: Int) { state.withLock { $0 } }

    func increment(by amount: Int64) { state.withLock { $0.value += Double(amount) } }
    func reset() { state.withLock { $0 = (0, 0) } }
    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { state.withLock { $0.value = value } }

    /// Seconds, as Prometheus has them.
    func recordNanoseconds(_ duration: Int64) {
        state.withLock { $0 = ($0.value + Double(duration) / 1e9, $0.count + 1) }
    }
}
