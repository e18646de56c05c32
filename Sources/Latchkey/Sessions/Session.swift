package import JOSE
package import Postgres

/// How long sessions live and what a refresh forgives, in seconds.
package struct SessionPolicy: Sendable {
    package var idleTTL: Int64
    package var maxTTL: Int64
    /// G: how long the last used refresh token gets the same successor again.
    package var grace: Int64
    /// R: how long after its use the last used refresh token may still get a new successor, while that one is unused.
    package var recovery: Int64

    package init(idleTTL: Int64, maxTTL: Int64, grace: Int64, recovery: Int64) {
        self.idleTTL = idleTTL
        self.maxTTL = maxTTL
        self.grace = grace
        self.recovery = recovery
    }

    /// Seconds of birth that share a slot of the ring: 14 of the 16 hold the longest life.
    package var slotWidth: Int64 { max(7 * 86400, (maxTTL + 13) / 14) }

    package func slot(bornAt now: Instant) -> Int16 { Int16(now.seconds / slotWidth % 16) }
}

/// Why a session ended; stands in its row and in the audit log.
package enum EndCause: String, Sendable, CaseIterable {
    case loggedOut = "logged-out"
    case revoked
    case void = "refresh-token-reused"
    case rollback = "history-lost"
    case passwordChanged = "password-changed"
    case userDisabled = "user-disabled"
    case userDeleted = "user-deleted"
    case roleTaken = "role-taken"
    case clientDisabled = "client-disabled"
    case clientNarrowed = "client-narrowed"
    case clientSecretDropped = "client-secret-dropped"
}

/// A session's row: one, however often it is refreshed.
package struct Session: Sendable {
    package let sid: UniqueID
    package let clientID: String
    /// The generation handed out last; the one before it that was used last is `confirmed`.
    package let generation: Int64
    package let confirmed: Int64
    package let confirmedAt: Instant
    package let issuedAt: Instant
    package let idleUntil: Instant
    package let maxUntil: Instant
    package let endedAt: Instant?

    package init(
        sid: UniqueID, clientID: String, generation: Int64, confirmed: Int64, confirmedAt: Instant, issuedAt: Instant,
        idleUntil: Instant, maxUntil: Instant, endedAt: Instant?
    ) {
        self.sid = sid
        self.clientID = clientID
        self.generation = generation
        self.confirmed = confirmed
        self.confirmedAt = confirmedAt
        self.issuedAt = issuedAt
        self.idleUntil = idleUntil
        self.maxUntil = maxUntil
        self.endedAt = endedAt
    }

    init(_ row: ResultSet.Row) throws(PostgresError) {
        self.init(
            sid: try row.decode("sid"), clientID: try row.decode("client_id"), generation: try row.decode("gen"),
            confirmed: try row.decode("conf"), confirmedAt: try row.decode("conf_at"),
            issuedAt: try row.decode("issued_at"), idleUntil: try row.decode("idle_until"),
            maxUntil: try row.decode("max_until"), endedAt: try row.decodeIfPresent("ended_at"))
    }
}

/// A session as its owner or an administrator sees it.
package struct SessionSummary: Sendable {
    package let sid: UniqueID
    package let userID: UniqueID
    package let clientID: String
    package let openedAt: Instant
    package let refreshedAt: Instant
    package let idleUntil: Instant
    package let maxUntil: Instant

    init(_ row: ResultSet.Row) throws(PostgresError) {
        sid = try row.decode("sid")
        userID = try row.decode("user_id")
        clientID = try row.decode("client_id")
        openedAt = try row.decode("auth_time")
        refreshedAt = try row.decode("issued_at")
        idleUntil = try row.decode("idle_until")
        maxUntil = try row.decode("max_until")
    }
}
