package import JOSE
package import Postgres

/// Every statement that ends sessions. Each ends rows, puts their `sid`s on the revocation list and writes the audit rows
/// in one go: no client step lies between the head's lock and the commit.
package enum SessionEndSQL {
    /// Which sessions.
    package enum Which {
        /// `of`: only where it is this client's; nil: anybody's.
        case rid(slot: Int16, [UInt8], fence: Int64, of: String?)
        case sid(UniqueID, of: UserID?)
        case user(UserID, except: UniqueID?)
        case users([UniqueID])
        case client(String)
        case all
    }

    /// What `appended` tells, and so nothing where there was nothing to end. The rows are locked in the order of `rid`;
    /// one that is ended already is locked too where it is waited for, so that the commit is a write: its answer then
    /// rests on a commit that came after the one which ended it.
    ///
    /// - Parameter epochs: of clients, to be put on the list with the sessions: the `sid`s of tokens that have none.
    package static func end(
        _ which: Which, _ waiting: SessionSQL.Waiting, epochs: [UniqueID] = [], cause: EndCause, reason: String?,
        origin: Origin
    ) -> Query {
        let gone: Query =
            epochs.isEmpty ? "ended" : "(SELECT sid FROM ended UNION ALL SELECT unnest(\(epochs))) AS gone"
        let lock: StaticString = waiting == .skipLocked ? "FOR UPDATE SKIP LOCKED" : "FOR UPDATE"
        return """
            WITH locked AS MATERIALIZED (
                SELECT slot, rid, ended_at FROM \(candidates(which)) ORDER BY rid \(literal: lock)
            ), ended AS (
                UPDATE \(table(which)) AS s
                SET ended_at = clock_timestamp(), end_cause = \(cause.rawValue)
                FROM locked
                WHERE s.slot = locked.slot AND s.rid = locked.rid AND locked.ended_at IS NULL
                RETURNING s.sid
            ), entry AS (
                SELECT row_number() OVER (ORDER BY sid) AS ordinal, \(RevocationEntry.Kind.sid.rawValue) AS kind, sid AS id
                FROM \(gone)
            ), audit AS (
                \(Event.rowsOfEnded(cause: cause.rawValue, reason: reason, origin))
            ), \(literal: RevocationSQL.append) \(literal: RevocationSQL.appended)
            """
    }

    private static func table(_ which: Which) -> Query {
        if case .rid(let slot, _, _, _) = which { return "\("sessions", slot: slot)" }
        return "sessions"
    }

    private static func candidates(_ which: Which) -> Query {
        switch which {
        case .rid(let slot, let rid, let fence, let client):
            """
            \("sessions", slot: slot)
            WHERE slot = \(slot) AND rid = \(Bytes(rid)) AND (SELECT fence FROM installation) = \(fence)
              AND (\(client) IS NULL OR client_id = \(client))
            """
        case .sid(let sid, let user):
            "sessions WHERE sid = \(sid) AND (\(user?.id) IS NULL OR user_id = \(user?.id))"
        case .user(let user, let kept):
            """
            sessions WHERE user_id = \(user.id) AND ended_at IS NULL AND (\(kept) IS NULL OR sid <> \(kept))
            """
        case .users(let ids):
            "sessions WHERE user_id = ANY (\(ids)) AND ended_at IS NULL"
        case .client(let id):
            // The index holds all but the first party's.
            id.isSameText(as: Client.firstParty)
                ? "sessions WHERE client_id = 'first-party' AND ended_at IS NULL"
                : "sessions WHERE client_id = \(id) AND client_id <> 'first-party' AND ended_at IS NULL"
        case .all:
            "sessions WHERE ended_at IS NULL"
        }
    }
}
