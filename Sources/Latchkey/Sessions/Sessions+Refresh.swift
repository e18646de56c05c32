import Logging
import JOSE
import Postgres

extension Sessions {
    /// Refreshes (RFC 6749 §6) by the rule of `RefreshDecision`.
    ///
    /// The common case, Advance, is one conditional statement in the node's next commit group. Whatever it did not update
    /// (another holds the row, the token is not the newest, it has ended, the group's fate is unknown) goes alone: lock,
    /// read, decide, act, commit.
    ///
    /// - Throws: `Rejection.invalidGrant`; `.unavailable` where this node cannot know.
    package func refresh(_ text: String, clientID: String) async throws -> Tokens {
        let token: RefreshToken
        do {
            token = try RefreshToken(text, masterKeys: masterKeys.keys)
        } catch {
            if error == .unknownMasterKey { throw Rejection.unavailable(retryAfter: 1) }
            metrics.refreshes.add(.refuse)
            throw Rejection.invalidGrant
        }
        try requireFresh()
        do {
            let result = try await database.grouped(
                SessionSQL.advance(token, clientID: clientID, idleTTL: policy.idleTTL))
            if let row = result.first {
                metrics.refreshes.add(.advance)
                let minting = try Minting(row)
                return try await tokens(minting, rid: token.rid, generation: minting.generation)
            }
        } catch PostgresError.unknownOutcome {
            // It may have been committed: then the row says so, and this is a Repeat.
        }
        return try await refreshAlone(token, clientID: clientID)
    }

    private enum Outcome: Sendable {
        case granted(Minting, generation: Int64, RefreshDecision)
        case refused
        case ended([RevocationEntry], EndCause, RefreshDecision)
    }

    private func refreshAlone(_ token: RefreshToken, clientID: String) async throws -> Tokens {
        // The group may have taken longer than this node stays fresh.
        try requireFresh()
        let outcome = try await database.transaction { transaction in
            try await decideAndAct(token, clientID: clientID, in: transaction)
        }
        switch outcome {
        case .granted(let minting, let generation, let decision):
            metrics.refreshes.add(decision)
            return try await tokens(minting, rid: token.rid, generation: generation)
        case .refused:
            metrics.refreshes.add(.refuse)
            throw Rejection.invalidGrant
        case .ended(let entries, let cause, let decision):
            metrics.refreshes.add(decision)
            metrics.ended.add(cause, entries.count)
            revocations.insert(entries, at: nil)
            logger.warning(
                "a session ended: a refresh token came that must not exist any more",
                metadata: ["sid": "\(entries.first?.id.text ?? "")", "cause": "\(cause.rawValue)"])
            throw Rejection.invalidGrant
        }
    }

    private func decideAndAct(
        _ token: RefreshToken, clientID: String, in transaction: Transaction
    ) async throws -> Outcome {
        let (slot, rid) = (token.slot, token.rid)
        // The second statement's snapshot is taken after the first has its lock.
        let results = try await transaction.batch([
            SessionSQL.lock(slot: slot, rid: rid), SessionSQL.locked(slot: slot, rid: rid),
        ])
        guard let row = results[1].first else { return .refused }
        let session = try Session(row)
        let minting = try Minting(row)
        let now = minting.grant.issuedAt
        let decision = RefreshDecision.decide(
            session, generation: Int64(token.generation), clientID: clientID, fence: Int64(token.fence),
            installationFence: minting.fence, policy: policy, now: now)
        switch decision {
        case .refuse:
            return .refused
        case .advance:
            try await change(
                SessionSQL.advanceLocked(slot: slot, rid: rid, now: now, idleTTL: policy.idleTTL), in: transaction)
            return .granted(minting, generation: session.generation + 1, decision)
        case .repeat:
            // The row's lock makes even this commit a write: the answer rests on a commit of its own.
            return .granted(minting, generation: session.generation, decision)
        case .recover:
            try await change(SessionSQL.recoverLocked(slot: slot, rid: rid, now: now), in: transaction)
            return .granted(minting, generation: session.generation + 1, decision)
        case .rollback, .void:
            let cause: EndCause = decision == .void ? .void : .rollback
            let origin = Origin(actor: "client:\(clientID)")
            let end = SessionEndSQL.end(
                .rid(slot: slot, rid, fence: Int64(token.fence), of: nil), .wait, cause: cause, reason: nil,
                origin: origin)
            return .ended(try await transaction.commit([end])[0].appendedEntries().entries, cause, decision)
        }
    }

    private func change(_ query: Query, in transaction: Transaction) async throws {
        let affected = try await transaction.query(query).affected
        guard affected == 1 else { throw PostgresError.unexpectedRowCount(affected) }
    }
}
