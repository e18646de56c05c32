import LatchkeyGuard
import Metrics
import Testing

@Suite("The registry of metrics")
struct MetricsRegistryTests {
    @Test func `writes each family once, sorted, with every series`() {
        let registry = MetricsRegistry()
        let counter = Counter(label: "b_total", dimensions: [("reason", "x")], factory: registry)
        Counter(label: "b_total", dimensions: [("reason", "a\"\\\n")], factory: registry).increment(by: 2)
        counter.increment()
        Counter(label: "b_total", dimensions: [("reason", "x")], factory: registry).increment()
        Gauge(label: "a.gauge", dimensions: [], factory: registry).record(2.5)
        Gauge(label: "a.gauge", dimensions: [], factory: registry).record(1.25)
        Timer(label: "c", dimensions: [], factory: registry).recordNanoseconds(1_500_000_000)
        #expect(
            registry.text == """
                # TYPE a_gauge gauge
                a_gauge 1.25
                # TYPE b_total counter
                b_total{reason="a\\"\\\\\\n"} 2
                b_total{reason="x"} 2
                # TYPE c summary
                c_sum 1.5
                c_count 1

                """)
    }
}
