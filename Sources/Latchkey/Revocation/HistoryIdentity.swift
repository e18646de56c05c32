import Postgres

/// Which database's history the list is of (rule "refresh", *Lost history*): cluster, timeline, database, and the list's own
/// table. A restored backup, a clone and a failover change some of it. What they brought back is another list, whatever its
/// positions say: it begins a new epoch, so that no follower takes it for the one it knows.
struct HistoryIdentity: Equatable {
    private let cluster: Substring
    private let timeline: Substring
    private let rest: [Substring]

    /// - Parameter text: of `history_identity()`.
    init(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        cluster = parts.first ?? ""
        timeline = parts.dropFirst().first ?? ""
        rest = Array(parts.dropFirst(2))
    }

    enum Decision: Equatable {
        case same
        /// It is this history's name from now on.
        case adopt
        case begin
    }

    /// - Parameters:
    ///   - stored: which the head names; nil: nobody has looked yet.
    ///   - failover: what every node says that a failover may lose.
    ///   - standbys: `synchronous_standby_names`.
    ///   - continuity: whether the list goes through what this node has read of it. `synchronous` is a promise; this is
    ///     evidence.
    static func decide(
        stored: HistoryIdentity?, present: HistoryIdentity, failover: String, standbys: String, continuity: Continuity
    ) -> Decision {
        guard let stored else { return .adopt }
        if stored == present { return .same }
        let isFailover = stored.cluster == present.cluster && stored.rest == present.rest
        let isExcused = failover == SettingsInForce.synchronous && !standbys.isEmpty && continuity == .continued
        return isFailover && isExcused ? .adopt : .begin
    }

    enum Continuity { case continued, broken }
}

extension RevocationSQL {
    /// Columns of the head that `HistoryIdentity` is decided by.
    static let identities: StaticString = """
        identity, history_identity() AS present_identity, current_setting('synchronous_standby_names') AS standbys
        """

    /// Another node may have done it meanwhile: then nothing.
    static func settle(_ decision: HistoryIdentity.Decision) -> Query {
        """
        UPDATE feed_head
        SET identity = history_identity(),
            epoch = CASE WHEN \(decision == .begin) THEN gen_random_uuid() ELSE epoch END
        WHERE identity IS DISTINCT FROM history_identity()
        """
    }
}
