/// Prometheus' text format, version 0.0.4: for each family its HELP, its TYPE, and its samples in one block.
package struct Exposition {
    package enum Kind: String {
        case counter, gauge, histogram
    }

    package typealias Label = (name: StaticString, value: String)

    package private(set) var text = ""
    private var family: StaticString = ""

    package init() {}

    /// Begins a family. Names and help are texts of the program.
    package mutating func family(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
        family = name
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    /// A sample of the family begun last.
    package mutating func sample(_ value: some BinaryInteger, _ labels: Label...) {
        write("", labels, "\(value)")
    }

    package mutating func sample(_ value: Double, _ labels: Label...) {
        write("", labels, Self.number(value))
    }

    /// A histogram's samples.
    /// - Parameters:
    ///   - bounds: upper bounds in the family's unit.
    ///   - buckets: counts, one more than there are bounds.
    package mutating func histogram(bounds: [Double], buckets: [UInt64], sum: Double, _ labels: Label...) {
        var total: UInt64 = 0
        for (index, count) in buckets.enumerated() {
            // The count is the sum of what was read: `_count` and the last bucket never differ.
            total += count
            let bound = index < bounds.count ? Self.number(bounds[index]) : "+Inf"
            write("_bucket", labels + [("le", bound)], "\(total)")
        }
        write("_sum", labels, Self.number(sum))
        write("_count", labels, "\(total)")
    }

    /// One sample for each value of a label.
    package mutating func samples<L: MetricLabel>(_ family: CounterFamily<L>, by name: StaticString) {
        for (label, count) in family.readings { sample(count, (name, label)) }
    }

    private mutating func write(_ suffix: String, _ labels: [Label], _ value: String) {
        text += "\(family)\(suffix)"
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    /// A label's value: backslash, quote and line feed are escaped.
    private static func escaped(_ value: String) -> String {
        var text = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
