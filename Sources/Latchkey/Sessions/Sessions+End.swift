package import JOSE
import Postgres

extension Sessions {
    /// Ends one session: by its owner logging out, an administrator, or whoever holds one of its refresh tokens. Returns
    /// once the end is durable and this node's own list holds it.
    ///
    /// - Parameter user: only where it is this user's.
    /// - Returns: the list's position that holds it; nil where there is no such session.
    package func end(
        _ sid: UniqueID, of user: UserID?, cause: EndCause, reason: String?, origin: Origin
    ) async throws -> FeedPosition? {
        guard
            try await database.query(SessionSQL.owner(sid)).first.map({ row in
                let owner: UniqueID = try row.decode("user_id")
                return user == nil || user?.id == owner
            }) == true
        else { return nil }
        return try await end(.sid(sid, of: user), cause: cause, reason: reason, origin: origin)
    }

    /// RFC 7009: ends the session of a refresh token, any of it: an old one can end its own session.
    ///
    /// - Parameter client: only where the session is this client's; nil: anybody's.
    /// - Throws: `Rejection.tokenOfAnotherClient`.
    package func end(
        holding token: RefreshToken, of client: String?, cause: EndCause, reason: String?, origin: Origin
    ) async throws -> FeedPosition {
        let which = SessionEndSQL.Which.rid(slot: token.slot, token.rid, fence: Int64(token.fence), of: client)
        if let position = try await endIfLive(which, cause: cause, reason: reason, origin: origin) { return position }
        if let client, let row = try await database.query(SessionSQL.client(slot: token.slot, rid: token.rid)).first,
            try !row.decode("client_id", as: String.self).isSameText(as: client)
        {
            throw Rejection.tokenOfAnotherClient
        }
        return try await readPosition()
    }

    private func end(
        _ which: SessionEndSQL.Which, cause: EndCause, reason: String?, origin: Origin
    ) async throws -> FeedPosition {
        if let position = try await endIfLive(which, cause: cause, reason: reason, origin: origin) { return position }
        return try await readPosition()
    }

    /// nil where nothing was left to end.
    private func endIfLive(
        _ which: SessionEndSQL.Which, cause: EndCause, reason: String?, origin: Origin
    ) async throws -> FeedPosition? {
        do {
            let grouped = try await database.grouped(
                SessionEndSQL.end(which, .skipLocked, cause: cause, reason: reason, origin: origin), in: .revocations)
            if let position = try take(grouped, ended: cause) { return position }
        } catch PostgresError.unknownOutcome {
            // It may have been committed, or be on its way: then the wait for the row ends with it, and the answer rests
            // on a commit behind it.
        }
        // Locked by a refresh, or ended already. The wait is for the row; where it has ended meanwhile, its entry is in
        // what is read next.
        let alone = try await database.query(
            SessionEndSQL.end(which, .wait, cause: cause, reason: reason, origin: origin))
        return try take(alone, ended: cause)
    }

    /// Puts what a statement appended into this node's own set, before anybody hears of it.
    ///
    /// - Parameter epochs: how many of the entries are clients' epochs, not sessions.
    func take(_ result: ResultSet, ended cause: EndCause, epochs: Int = 0) throws -> FeedPosition? {
        let (entries, position) = try result.appendedEntries()
        metrics.ended.add(cause, max(0, entries.count { $0.kind == .sid } - epochs))
        revocations.insert(entries, at: position)
        return position
    }

    func readPosition() async throws -> FeedPosition {
        _ = try await revocations.read()
        guard let position = revocations.position else { throw Rejection.unavailable(retryAfter: 1) }
        return position
    }

    /// What an opaque token is to RFC 7009 and RFC 7662: the shape decides.
    package func refreshToken(_ text: String) throws -> RefreshToken? {
        do {
            return try RefreshToken(text, masterKeys: masterKeys.keys)
        } catch {
            if error == .unknownMasterKey { throw Rejection.unavailable(retryAfter: 1) }
            return nil
        }
    }

    /// Whether presenting `token` would yield tokens now (RFC 7662 §2.2); nil where it would not.
    package func inspect(_ token: RefreshToken) async throws -> SessionSummary? {
        try requireFresh()
        guard let row = try await database.query(SessionSQL.locked(slot: token.slot, rid: token.rid)).first else {
            return nil
        }
        let session = try Session(row)
        let minting = try Minting(row)
        let decision = RefreshDecision.decide(
            session, generation: Int64(token.generation), clientID: session.clientID, fence: Int64(token.fence),
            installationFence: minting.fence, policy: policy, now: minting.grant.issuedAt)
        switch decision {
        case .advance, .repeat, .recover: return try SessionSummary(row)
        case .refuse, .rollback, .void: return nil
        }
    }
}
