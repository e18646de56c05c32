internal import LatchkeyHummingbird
internal import LatchkeyVerifier
internal import Metrics

/// What the guard counts beside the verifier, by swift-metrics.
struct GuardCounts: Sendable {
    enum Verdict: String, CaseIterable {
        case allowed
        /// No bearer token.
        case missing
        case malformed
        /// Expired, revoked, forged or meant for others; by why, `latchkey_verifier_tokens_rejected_total` says.
        case rejected
        /// A good token without a scope or a role that is needed.
        case insufficient
        case stale
        /// Nothing that a token could mend: the proxy's configuration, or a request that is none.
        case refused
    }

    enum Outcome: String, CaseIterable {
        case answered
        case unreachable
        case timedOut = "timed_out"
        /// Cut off in the middle of its answer, by the service or by the caller.
        case broken
    }

    private let verdicts: [Verdict: Counter]
    private let upstream: [Outcome: Counter]

    init(factory: any MetricsFactory) {
        verdicts = Dictionary(
            uniqueKeysWithValues: Verdict.allCases.map {
                (
                    $0,
                    Counter(
                        label: "latchkey_guard_requests_total", dimensions: [("verdict", $0.rawValue)], factory: factory
                    )
                )
            })
        upstream = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.map {
                (
                    $0,
                    Counter(
                        label: "latchkey_guard_upstream_total", dimensions: [("outcome", $0.rawValue)], factory: factory
                    )
                )
            })
    }

    func verdict(_ verdict: Verdict) { verdicts[verdict]?.increment() }
    func upstream(_ outcome: Outcome) { upstream[outcome]?.increment() }
}

extension BearerFailure {
    var verdict: GuardCounts.Verdict {
        switch self {
        case .missing: .missing
        case .malformed: .malformed
        case .rejected(.stale): .stale
        case .rejected: .rejected
        case .insufficientScope, .insufficientRole: .insufficient
        }
    }
}
