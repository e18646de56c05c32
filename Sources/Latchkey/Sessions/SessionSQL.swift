import JOSE
package import Postgres

/// Every statement that opens, refreshes or reads a session. Hot ones name the one partition they touch.
package enum SessionSQL {
    /// What a token is minted from, read in the minting statement itself; `s` is the session. The built-in client has no
    /// algorithm of its own: its sessions, nearly all, pay for no look.
    private static let minted: StaticString = """
        s.sid, s.user_id, s.client_id, s.auth_time, s.scope, s.audience, s.gen, clock_timestamp() AS now,
        (SELECT version FROM key_ring) AS ring, (SELECT fence FROM installation) AS fence,
        CASE WHEN s.client_id <> 'first-party' THEN
            (SELECT access_token_alg FROM clients WHERE id = s.client_id)
        END AS access_token_alg
        """

    package enum Waiting { case skipLocked, wait }

    /// Birth: only while user and client are active and of the versions that were read with the password hash. FOR SHARE
    /// conflicts with what disables or changes them (a foreign key's lock would not): a login in flight cannot survive it.
    /// In a commit group locked rows are skipped; then it is tried once more alone.
    ///
    /// And only while its status list goes on: one of a history that was lost refuses whoever is on it. Not locked: a birth
    /// whose snapshot is from before that history ended reads the fence there too, and dies with it.
    static func open(_ birth: SessionBirth, _ waiting: Waiting) -> Query {
        let skip: StaticString = waiting == .skipLocked ? "SKIP LOCKED" : ""
        return """
            INSERT INTO \("sessions", slot: birth.slot) AS s (
                slot, rid, sid, user_id, client_id, gen, conf, conf_at, issued_at, idle_until, max_until, auth_time, scope,
                audience)
            SELECT \(birth.slot), \(Bytes(birth.rid)), \(birth.sid), u.id, c.id, 1, 0, at.now, at.now,
                   at.now + LEAST(\(birth.policy.idleTTL), \(birth.policy.maxTTL)) * interval '1 second',
                   at.now + \(birth.policy.maxTTL) * interval '1 second', at.now, \(birth.scope), \(birth.audience)
            FROM (
                SELECT id FROM users
                WHERE id = \(birth.user.id) AND status = 'active' AND security_version = \(birth.securityVersion)
                FOR SHARE \(literal: skip)
            ) AS u, (
                SELECT id FROM clients
                WHERE id = \(birth.clientID) AND status = 'active' AND security_version = \(birth.clientVersion)
                FOR SHARE \(literal: skip)
            ) AS c, (SELECT clock_timestamp() AS now) AS at
            WHERE EXISTS (
                SELECT FROM status_lists
                WHERE list = \(StatusIndex(of: birth.sid).map { Int64($0.list.number) }) AND identity IS NOT NULL
            )
            RETURNING \(literal: minted), \(literal: UserSQL.rolesOfUserID)
            """
    }

    /// Advance, row 1 of the table, in one conditional statement. A locked row is skipped and a row that does not match
    /// is left alone: then the slow path decides.
    package static func advance(_ token: RefreshToken, clientID: String, idleTTL: Int64) -> Query {
        """
        UPDATE \("sessions", slot: token.slot) AS s
        SET conf = s.gen, gen = s.gen + 1, conf_at = l.now, issued_at = l.now,
            idle_until = LEAST(l.now + \(idleTTL) * interval '1 second', s.max_until)
        FROM (
            SELECT slot, rid, clock_timestamp() AS now
            FROM \("sessions", slot: token.slot)
            WHERE slot = \(token.slot) AND rid = \(Bytes(token.rid)) AND gen = \(Int64(token.generation))
              AND client_id = \(clientID) AND ended_at IS NULL
              AND idle_until > clock_timestamp() AND max_until > clock_timestamp()
              AND (SELECT fence FROM installation) = \(Int64(token.fence))
            FOR UPDATE SKIP LOCKED
        ) AS l
        WHERE s.slot = l.slot AND s.rid = l.rid
        RETURNING \(literal: minted), \(literal: UserSQL.rolesOfUserID)
        """
    }

    /// The slow path's first statement: whoever holds the row is waited for.
    static func lock(slot: Int16, rid: [UInt8]) -> Query {
        "SELECT sid FROM \("sessions", slot: slot) WHERE slot = \(slot) AND rid = \(Bytes(rid)) FOR UPDATE"
    }

    /// Its second, with a snapshot from **after** the lock: row, roles, fence, clock.
    static func locked(slot: Int16, rid: [UInt8]) -> Query {
        """
        SELECT \(literal: minted), s.conf, s.conf_at, s.issued_at, s.idle_until, s.max_until, s.ended_at,
               \(literal: UserSQL.rolesOfUserID)
        FROM \("sessions", slot: slot) s
        WHERE slot = \(slot) AND rid = \(Bytes(rid))
        """
    }

    static func advanceLocked(slot: Int16, rid: [UInt8], now: Instant, idleTTL: Int64) -> Query {
        """
        UPDATE \("sessions", slot: slot)
        SET conf = gen, gen = gen + 1, conf_at = \(now), issued_at = \(now),
            idle_until = LEAST(\(now) + \(idleTTL) * interval '1 second', max_until)
        WHERE slot = \(slot) AND rid = \(Bytes(rid)) AND ended_at IS NULL
        """
    }

    /// `conf`, `conf_at` and `idle_until` stay: a token that is only ever repeated does not live longer for it.
    static func recoverLocked(slot: Int16, rid: [UInt8], now: Instant) -> Query {
        """
        UPDATE \("sessions", slot: slot)
        SET gen = gen + 1, issued_at = \(now)
        WHERE slot = \(slot) AND rid = \(Bytes(rid)) AND ended_at IS NULL
        """
    }

    private static let summary: StaticString = """
        SELECT sid, user_id, client_id, auth_time, issued_at, idle_until, max_until
        FROM sessions
        """

    /// The fence keeps what was lost from being refreshed; its rows are no sessions either.
    private static let isOfThisHistory: StaticString = "auth_time > (SELECT history_from FROM installation)"

    static func sessions(of user: UserID, after sid: UniqueID?, limit: Int64) -> Query {
        """
        \(literal: summary)
        WHERE user_id = \(user.id) AND ended_at IS NULL AND idle_until > clock_timestamp()
          AND \(literal: isOfThisHistory)
          AND (\(sid) IS NULL OR sid > \(sid))
        ORDER BY sid LIMIT \(limit)
        """
    }

    static func client(slot: Int16, rid: [UInt8]) -> Query {
        "SELECT client_id FROM \("sessions", slot: slot) WHERE slot = \(slot) AND rid = \(Bytes(rid))"
    }

    /// Ended or not.
    static func owner(_ sid: UniqueID) -> Query {
        "SELECT user_id FROM sessions WHERE sid = \(sid)"
    }

    /// - Parameter bound: only ids below it; nil: all.
    static func living(before bound: UniqueID?) -> Query {
        """
        SELECT count(*) AS count, max(idle_until) AS until
        FROM sessions
        WHERE ended_at IS NULL AND idle_until > clock_timestamp() AND (\(bound) IS NULL OR sid < \(bound))
          AND \(literal: isOfThisHistory)
        """
    }

    static func session(_ sid: UniqueID) -> Query {
        """
        \(literal: summary)
        WHERE sid = \(sid) AND ended_at IS NULL AND idle_until > clock_timestamp() AND \(literal: isOfThisHistory)
        """
    }
}

/// What a session is born from.
struct SessionBirth: Sendable {
    let slot: Int16
    let rid: [UInt8]
    let sid: UniqueID
    let user: UserID
    let securityVersion: Int64
    let clientID: String
    let clientVersion: Int64?
    /// nil: all that the user's roles carry at each refresh.
    let scope: [String]?
    let audience: [String]
    let policy: SessionPolicy
}
