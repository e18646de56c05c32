package import Postgres

/// Which database's history the list is of (rule "refresh", *Lost history*): cluster, timeline, database, and the list's own
/// table. A restored backup, a clone and a failover change some of it. What they brought back is another list, whatever its
/// positions say: it begins a new epoch, so that no follower takes it for the one it knows.
package struct HistoryIdentity: Sendable, Equatable {
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

    private func isSameDatabase(as other: HistoryIdentity) -> Bool {
        cluster == other.cluster && rest == other.rest
    }

    /// Whether it is the same database on a timeline that `other` has left behind: what an old primary is after a failover.
    func isEarlier(than other: HistoryIdentity) -> Bool {
        guard isSameDatabase(as: other), let own = Int64(timeline, radix: 16),
            let theirs = Int64(other.timeline, radix: 16)
        else { return false }
        return own < theirs
    }

    package enum Decision: Sendable, Equatable {
        case same
        /// It is this history's name from now on.
        case adopt
        /// Commits are lost: all that was handed out is void.
        case begin
    }

    /// - Parameters:
    ///   - stored: which the head names; nil: nobody has looked yet.
    ///   - failover: what every node says that a failover may lose.
    ///   - standbys: `synchronous_standby_names`, of this server or of the one before it.
    ///   - continuity: whether the list goes through what this node has read of it. `synchronous` is a promise; this is
    ///     evidence.
    static func decide(
        stored: HistoryIdentity?, present: HistoryIdentity, failover: String, standbys: String, continuity: Continuity
    ) -> Decision {
        // The same name does not disprove it: an older copy of the data folder has that, too.
        if continuity == .lost { return .begin }
        guard let stored else { return .adopt }
        if stored == present { return .same }
        let isExcused = failover == SettingsInForce.synchronous && !standbys.isEmpty && continuity == .continued
        return stored.isSameDatabase(as: present) && isExcused ? .adopt : .begin
    }

    enum Continuity {
        case continued
        /// It is another list, or one that does not reach back so far: of lost commits it says nothing.
        case broken
        /// The epoch is the one that was read, and what was read of it is not there.
        case lost
    }
}

extension RevocationSQL {
    /// Columns of the head that `HistoryIdentity` is decided by.
    static let identities: StaticString = """
        identity, history_identity() AS present_identity, current_setting('synchronous_standby_names') AS standbys
        """

    /// What a server is asked when a connection to it is made.
    static let history: Query = """
        SELECT h.epoch, h.identity, history_identity() AS present_identity, i.fence
        FROM feed_head h, installation i
        """

    /// Another node may have done it meanwhile: then nothing.
    package static let adoptHistory: Query =
        "UPDATE feed_head SET identity = history_identity() WHERE identity IS DISTINCT FROM history_identity()"

    /// The epoch that the list is of.
    package static let epoch: Query = "SELECT epoch FROM feed_head"

    /// The list is another one from now on, with what it held. What is appended follows in the same transaction.
    package static let beginEpoch: Query =
        "UPDATE feed_head SET identity = history_identity(), epoch = gen_random_uuid()"

    /// No refresh token from before is taken any more, and no session from before is alive. Unix seconds outrun whatever the
    /// lost history may have raised the fence to, one at a time.
    package static let raiseFence: Query = """
        UPDATE installation
        SET fence = GREATEST(fence + 1, floor(extract(epoch FROM clock_timestamp()))::bigint),
            history_from = clock_timestamp()
        RETURNING fence
        """
}
