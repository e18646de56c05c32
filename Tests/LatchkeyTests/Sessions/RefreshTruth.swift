import Postgres

@testable import Latchkey

/// What must hold of every committed answer, said without the row: from what was handed out for what, and when.
struct RefreshTruth {
    let policy: SessionPolicy
    let birth: Instant
    /// Handed out last, and for which one.
    private var newest: Int64 = 1
    private var parent: Int64 = 0
    private var parentUsedAt: Instant
    private var newestSince: Instant
    private var advancedAt: Instant
    private var hasEnded = false

    init(policy: SessionPolicy, birth: Instant) {
        self.policy = policy
        self.birth = birth
        parentUsedAt = birth
        newestSince = birth
        advancedAt = birth
    }

    private func age(_ instant: Instant, _ now: Instant) -> Int64 { max(0, now - instant) }

    private func hasExpired(at now: Instant) -> Bool {
        now >= advancedAt + policy.idleTTL || now >= birth + policy.maxTTL
    }

    private func mayRecover(at now: Instant) -> Bool {
        age(parentUsedAt, now) < policy.recovery * 1_000_000
    }

    private func mayRepeat(at now: Instant) -> Bool { age(newestSince, now) < policy.grace * 1_000_000 }

    /// Whether an honest client must live with being refused: it slept for longer than is forgiven.
    func excuses(_ presented: Int64, at now: Instant) -> Bool {
        hasExpired(at: now) || (presented == parent && !mayRepeat(at: now) && !mayRecover(at: now))
    }

    mutating func granted(_ generation: Int64, for presented: Int64, at now: Instant, row: RefreshSimulation.Row)
        -> String?
    {
        if hasEnded { return "\(presented) worked after the end" }
        if hasExpired(at: now) { return "\(presented) worked though the session has expired" }
        switch (presented, generation) {
        case (newest, newest + 1):
            parentUsedAt = now
            advancedAt = now
            newestSince = now
        case (parent, newest) where parent > 0:
            if !mayRepeat(at: now) { return "\(presented) got the same again after the grace" }
        case (parent, newest + 1) where parent > 0:
            if mayRepeat(at: now) { return "\(presented) got another successor within the grace" }
            if !mayRecover(at: now) { return "\(presented) was recovered too late" }
            newestSince = now
        default: return "\(presented) got \(generation), and \(newest) for \(parent) was the newest"
        }
        (newest, parent) = (generation, presented)
        guard row.generation == newest, row.confirmed == parent else { return "the row forgot what it handed out" }
        return nil
    }

    mutating func refused(_ presented: Int64, at now: Instant, row: RefreshSimulation.Row) -> String? {
        if hasEnded || hasExpired(at: now) { return nil }
        if row.endedAt == nil { return "\(presented) is refused, and the session lives" }
        hasEnded = true
        if presented == newest { return "the newest token ended the session" }
        if presented == parent, mayRepeat(at: now) || mayRecover(at: now) {
            return "the last used token ended the session in time"
        }
        return nil
    }
}
