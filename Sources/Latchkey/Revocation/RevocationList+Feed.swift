package import Postgres
import Synchronization

/// What the feed tells of the list: always what one reading read, never this node's own entries ahead of it.
extension RevocationList {
    /// The list at one position.
    package struct Extract: Sendable {
        package let position: FeedPosition
        package let claim: Claim
        package let log: RevocationLog
        /// Counts other histories: positions of two different ones have nothing to do with each other.
        package let history: Int
    }

    /// nil before the first tick, and until the first one of another history.
    package var extract: Extract? {
        state.withLock { state in
            guard let position = state.position, let claim = state.claim,
                state.claimed == state.history
            else { return nil }
            return Extract(position: position, claim: claim, log: state.ids.present.log, history: state.history)
        }
    }

    /// Whether the list went through `position` within the last day: of those that this node has read lately it knows,
    /// for the others it asks the database.
    package func wentThrough(_ position: FeedPosition) async throws(PostgresError) -> Bool {
        if state.withLock({ $0.recent.contains(position) }) { return true }
        let row = try await database.query(RevocationSQL.digest(at: position.seq)).first
        return try position.has(row?.decode("digest"))
    }
}
