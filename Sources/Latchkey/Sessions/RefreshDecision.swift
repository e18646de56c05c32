package import Postgres

/// What becomes of a presented refresh token: protocol rule "refresh", row by row, in its order. Pure.
package enum RefreshDecision: Sendable, Equatable, CaseIterable {
    /// Row 0. Nothing is written: whoever presents another's token, or an expired one, changes nothing.
    case refuse
    /// Row 1. The successor was used: it is confirmed, and the next one is handed out.
    case advance
    /// Row 2. The answer was lost, or another tab asked at the same time: the same successor again.
    case `repeat`
    /// Row 3. The successor was never used and may never have arrived: a new one, and the unused one is void.
    case recover
    /// Row 4. The token is of a future that this database does not know: it was restored under us.
    case rollback
    /// Row 5. Two stores held different successors, and both have acted: one of them is a thief.
    case void

    /// - Parameters:
    ///   - generation: what the token names.
    ///   - clientID: who presents it.
    ///   - fence: the token's; `installationFence` as read under the row's lock.
    ///   - now: the database's clock under the row's lock.
    package static func decide(
        _ session: Session, generation: Int64, clientID: String, fence: Int64, installationFence: Int64,
        policy: SessionPolicy, now: Instant
    ) -> RefreshDecision {
        guard session.clientID.utf8.elementsEqual(clientID.utf8), fence == installationFence,
            session.endedAt == nil, session.idleUntil > now, session.maxUntil > now
        else { return .refuse }

        if generation == session.generation { return .advance }
        if generation == session.confirmed {
            if isWithin(policy.grace, since: session.issuedAt, now) { return .repeat }
            if isWithin(policy.recovery, since: session.confirmedAt, now) { return .recover }
        }
        return generation > session.generation ? .rollback : .void
    }

    /// A negative age (a clock stepped back) counts as 0; a limit of 0 never matches.
    private static func isWithin(_ seconds: Int64, since: Instant, _ now: Instant) -> Bool {
        max(0, now - since) < seconds * 1_000_000
    }
}
