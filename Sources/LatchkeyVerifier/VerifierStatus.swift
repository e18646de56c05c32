/// What a verifier knows of what is revoked, at one moment.
public struct VerifierStatus: Sendable {
    /// Whether the issuer's keys are here.
    public let hasKeys: Bool
    /// Whether the list is younger than the limit.
    public let isFresh: Bool
    /// How old the list is: every revocation that was acknowledged before that long ago is in it. Nil where it never
    /// was complete, or the clocks do not tell any more.
    public let age: Duration?
    /// The same as an instant: seconds since 1970 by this machine's wall clock, rounded down.
    public let freshAsOf: Int64?
    /// Up to where the list is applied, as a word that can be compared with `Latchkey-Position`.
    public let position: String?
    /// How many tokens, sessions and keys are revoked.
    public let revocations: Int

    init(follower: FollowerState, count: Int, hasKeys: Bool, _ now: ClockReading) {
        let nanoseconds: Int64?
        switch follower.freshness(now) {
        case .fresh(let age):
            isFresh = true
            nanoseconds = age
        case .stale(let age):
            isFresh = false
            nanoseconds = age
        }
        age = nanoseconds.map { .nanoseconds($0) }
        freshAsOf = nanoseconds.map { (now.wall - $0 / 1_000_000) / 1000 - 1 }
        position = follower.reached?.word
        revocations = count
        self.hasKeys = hasKeys
    }
}
