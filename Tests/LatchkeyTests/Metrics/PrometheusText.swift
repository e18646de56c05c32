import Testing

/// A strict reader of Prometheus' text format 0.0.4: whatever it does not know is an error.
struct PrometheusText {
    struct Malformed: Error, CustomStringConvertible {
        let line: String
        let problem: String
        var description: String { "\(problem): \(line)" }
    }

    struct Sample: Sendable, Hashable {
        let name: String
        let labels: [String: String]
    }

    private(set) var types: [String: String] = [:]
    private(set) var samples: [Sample: Double] = [:]

    init(_ text: String) throws {
        guard text.hasSuffix("\n") else { throw Malformed(line: "", problem: "no line feed at the end") }
        var helped: Set<String> = []
        var family = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            func check(_ holds: Bool, _ problem: String) throws {
                if !holds { throw Malformed(line: String(line), problem: problem) }
            }
            if let match = line.wholeMatch(of: /# HELP ([a-z_:][a-z0-9_:]*) (.+)/) {
                try check(helped.insert(String(match.1)).inserted, "a second HELP")
                family = String(match.1)
            } else if let match = line.wholeMatch(of: /# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge|histogram)/) {
                try check(family == match.1 && types[family] == nil, "a TYPE that follows no HELP of its own")
                types[family] = String(match.2)
            } else if let match = line.wholeMatch(of: /([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)/) {
                let (name, kind) = (String(match.1), types[family])
                let names =
                    kind == "histogram" ? ["_bucket", "_sum", "_count"].map { family + $0 } : [family]
                try check(kind != nil && names.contains(name), "a sample outside its family")
                try check(kind != "counter" || family.hasSuffix("_total"), "a counter that is not called _total")
                let labels = try Self.labels(match.2.map { String($0) } ?? "", line: String(line))
                let value = match.3 == "+Inf" ? Double.infinity : match.3 == "NaN" ? Double.nan : Double(match.3)
                guard let value else { throw Malformed(line: String(line), problem: "no number") }
                let sample = Sample(name: name, labels: labels)
                try check(samples.updateValue(value, forKey: sample) == nil, "a second sample of the same labels")
            } else {
                throw Malformed(line: String(line), problem: "neither comment nor sample")
            }
        }
        try checkHistograms()
    }

    private static func labels(_ text: String, line: String) throws -> [String: String] {
        var labels: [String: String] = [:]
        var rest = text[...]
        while !rest.isEmpty {
            guard let match = rest.prefixMatch(of: /([a-z_]+)="((?:[^"\\]|\\[\\"n])*)"(,(?=.)|$)/),
                labels.updateValue(String(match.2), forKey: String(match.1)) == nil
            else { throw Malformed(line: line, problem: "malformed labels") }
            rest = rest[match.range.upperBound...]
        }
        return labels
    }

    /// Buckets grow with their bound, and the last is the count.
    private func checkHistograms() throws {
        for (family, _) in types where types[family] == "histogram" {
            var series: [[String: String]: [(Double, Double)]] = [:]
            for (sample, value) in samples where sample.name == family + "_bucket" {
                guard let le = sample.labels["le"], let bound = le == "+Inf" ? .infinity : Double(le) else {
                    throw Malformed(line: family, problem: "a bucket without a bound")
                }
                series[sample.labels.filter { $0.key != "le" }, default: []].append((bound, value))
            }
            for (labels, buckets) in series {
                let ordered = buckets.sorted { $0.0 < $1.0 }
                let counts = ordered.map(\.1)
                guard counts == counts.sorted(), ordered.last?.0 == .infinity,
                    counts.last == samples[Sample(name: family + "_count", labels: labels)],
                    samples[Sample(name: family + "_sum", labels: labels)] != nil
                else { throw Malformed(line: "\(family) \(labels)", problem: "no histogram") }
            }
        }
    }

    /// A sample's value; 0 where it does not stand there.
    subscript(name: String, labels: [String: String]) -> Double { samples[Sample(name: name, labels: labels)] ?? 0 }

    subscript(name: String) -> Double? { samples[Sample(name: name, labels: [:])] }
}
