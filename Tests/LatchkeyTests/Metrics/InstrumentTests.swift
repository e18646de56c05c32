import Testing

@testable import Latchkey

@Suite struct InstrumentTests {
    private enum Colour: MetricLabel {
        case red, green
        var label: String { self == .red ? "red" : "green" }
    }

    @Test func `A counter loses nothing that many threads add at once`() async {
        let counter = Counter()
        let family = CounterFamily<Colour>()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<10_000 {
                        counter.add()
                        family.add(.green, 2)
                    }
                }
            }
        }
        #expect(counter.reading == 80_000)
        #expect(family[.green] == 160_000)
        #expect(family[.red] == 0)
        counter.add(-5)
        #expect(counter.reading == 80_000, "it never goes back")
    }

    @Test(arguments: [
        (0, 0), (500_000, 0), (500_001, 1), (1_000_000, 1), (9_999_999, 4), (10_000_000, 4), (10_000_001, 5),
        (10_000_000_000, 12), (10_000_000_001, 13), (-1, 0),
    ])
    func `A duration falls into the first bucket whose bound holds it`(nanoseconds: Int, bucket: Int) {
        let histogram = Histogram()
        histogram.record(.nanoseconds(nanoseconds))
        let (buckets, sum) = histogram.reading
        #expect(buckets.count == Histogram.bounds.count + 1)
        #expect(buckets.firstIndex(of: 1) == bucket)
        #expect(buckets.reduce(0, +) == 1)
        #expect(sum == Double(max(0, nanoseconds)) / 1e9)
    }

    @Test func `A route is found by its template, and everything else is one series`() {
        let traffic = HTTPTraffic(routes: ["/a", "/b", "/a", "/users/{id}"])
        for template in ["/a", "/b", "/users/{id}", "/c", "/users/ada", "", nil, String(repeating: "x", count: 9999)] {
            traffic.answered(template, method: "GET", status: 200, in: .milliseconds(3))
        }
        let counts = Dictionary(
            uniqueKeysWithValues: traffic.readings.map { ($0.template, $0.answers.map(\.count).reduce(0, +)) })
        #expect(counts == ["/a": 1, "/b": 1, "/users/{id}": 1, "none": 5])
    }

    @Test(arguments: [
        ("GET", 200, "GET", "200"), ("PATCH", 505, "PATCH", "505"), ("get", 200, "other", "200"),
        ("X\" Y", 299, "other", "other"), ("", 0, "other", "other"), ("POST", -1, "POST", "other"),
        ("POST", 1_000_000, "POST", "other"), ("DELETE", 599, "DELETE", "other"), ("GET", 431, "GET", "431"),
    ])
    func `A method or a status of nobody's knowing is other`(
        method: String, status: Int, shownMethod: String, shownStatus: String
    ) {
        let traffic = HTTPTraffic(routes: ["/a"])
        traffic.answered("/a", method: method, status: status, in: .zero)
        let answers = traffic.readings.flatMap(\.answers)
        #expect(answers.count == 1)
        #expect(answers.first?.method == shownMethod)
        #expect(answers.first?.status == shownStatus)
    }

    @Test func `What arrives is in flight until it leaves`() {
        let traffic = HTTPTraffic()
        traffic.arrived()
        traffic.arrived()
        traffic.left()
        #expect(traffic.inFlightCount == 1)
    }

    @Test func `The text is escaped, and numbers are written as Prometheus reads them`() throws {
        var page = Exposition()
        page.family("a_total", .counter, "An a.")
        page.sample(3, ("path", "a\"b\\c\nd"))
        page.family("b", .gauge, "A b.")
        page.sample(Double.nan)
        page.sample(Double.infinity, ("x", "y"))
        page.sample(1e-9, ("x", "z"))
        page.family("c", .histogram, "A c.")
        page.histogram(bounds: [0.5, 1], buckets: [1, 2, 3], sum: 4.5, ("route", "r"))
        let expected = #"""
            # HELP a_total An a.
            # TYPE a_total counter
            a_total{path="a\"b\\c\nd"} 3
            # HELP b A b.
            # TYPE b gauge
            b NaN
            b{x="y"} +Inf
            b{x="z"} 1e-09
            # HELP c A c.
            # TYPE c histogram
            c_bucket{route="r",le="0.5"} 1
            c_bucket{route="r",le="1"} 3
            c_bucket{route="r",le="+Inf"} 6
            c_sum{route="r"} 4.5
            c_count{route="r"} 6

            """#
        #expect(page.text == expected)
        _ = try PrometheusText(page.text)
    }

    @Test(arguments: [
        "a 1\n", "# HELP a b\na 1\n", "# HELP a b\n# TYPE a counter\na 1\n", "# HELP a b\n# TYPE a gauge\na x\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n", "# HELP a b\n# TYPE a gauge\na{x=y} 1\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n", "# HELP a b\n# TYPE a gauge\na{x=\"1\",} 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n", "# HELP a b\n# TYPE a gauge\na 1",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
    ])
    func `The tests' own reader refuses what is no exposition`(text: String) {
        #expect(throws: PrometheusText.Malformed.self) { try PrometheusText(text) }
    }
}
