internal import Metrics

/// What a verifier counts, by swift-metrics. Made once: nothing is looked up while a token is verified.
struct VerifierMetrics: Sendable {
    enum Outcome: String, CaseIterable { case succeeded, failed }

    private let accepted: Counter
    private let acceptedWhileStale: Counter
    private let rejected: [TokenRejection: Counter]
    private let keyFetches: [Outcome: Counter]
    private let messages: Counter
    private let wholeLists: Counter
    private let faults: [FeedFault: Counter]
    private let feedFailures: Counter
    private let entries: Gauge
    private let age: Gauge
    private let isFresh: Gauge
    private let startedAt: ClockReading

    init(factory: any MetricsFactory, startedAt: ClockReading) {
        self.startedAt = startedAt
        func counter(_ label: String, _ dimensions: [(String, String)] = []) -> Counter {
            Counter(label: "latchkey_verifier_\(label)", dimensions: dimensions, factory: factory)
        }
        func counters<Label: RawRepresentable<String> & CaseIterable & Hashable>(
            _ label: String, by dimension: String, _: Label.Type
        ) -> [Label: Counter] {
            Dictionary(
                uniqueKeysWithValues: Label.allCases.map { ($0, counter(label, [(dimension, $0.rawValue)])) })
        }
        accepted = counter("tokens_accepted_total")
        acceptedWhileStale = counter("tokens_accepted_while_stale_total")
        rejected = counters("tokens_rejected_total", by: "reason", TokenRejection.self)
        keyFetches = counters("jwks_fetches_total", by: "outcome", Outcome.self)
        messages = counter("feed_messages_total")
        wholeLists = counter("feed_whole_lists_total")
        faults = counters("feed_faults_total", by: "reason", FeedFault.self)
        feedFailures = counter("feed_failures_total")
        entries = Gauge(label: "latchkey_verifier_revocations", dimensions: [], factory: factory)
        age = Gauge(label: "latchkey_verifier_revocations_age_seconds", dimensions: [], factory: factory)
        isFresh = Gauge(label: "latchkey_verifier_is_fresh", dimensions: [], factory: factory)
    }

    func accepted(whileStale isStale: FollowerState.Freshness) {
        accepted.increment()
        if case .stale = isStale { acceptedWhileStale.increment() }
    }

    func rejected(_ reason: TokenRejection) { rejected[reason]?.increment() }
    func keysFetched(_ outcome: Outcome) { keyFetches[outcome]?.increment() }

    func message(_ claims: FeedClaims) {
        messages.increment()
        if claims.after == nil { wholeLists.increment() }
    }

    func fault(_ fault: FeedFault) { faults[fault]?.increment() }
    func feedFailed() { feedFailures.increment() }

    /// Of the gauges. An age that nobody can tell is the verifier's own: a gauge that stood still, or was not there at
    /// all, would keep an alert silent just when nothing is known.
    func look(at set: FollowedSet, _ now: ClockReading) {
        entries.record(set.count)
        let freshness = set.ground(now).freshness
        switch freshness {
        case .fresh(let nanoseconds), .stale(let nanoseconds?): age.record(Double(nanoseconds) / 1e9)
        case .stale(nil): age.record(Double(now.boot - startedAt.boot) / 1e9)
        }
        if case .fresh = freshness { isFresh.record(1) } else { isFresh.record(0) }
    }
}
