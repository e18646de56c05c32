package import JOSE
package import Logging
package import Postgres

/// What follows where commits were lost (rule "refresh", *Lost history*): a restored backup, or a failover that did not have
/// them, would make void tokens live again, ended sessions alive, a compromised key current. In one transaction under the
/// ring's lock: the fence rises, so that no refresh token from before is taken; every key that may have signed there is
/// compromised and stands on the list, another signs; status lists begin anew, for bits may be out of which the database
/// knows nothing, and those of sessions end; the list begins a new epoch.
package struct LostHistory: Sendable {
    private let database: Database
    private let signingKeys: SigningKeys
    private let masterKeys: MasterKeyRing
    private let remembered: @Sendable () -> [SigningKey]
    private let logger: Logger

    /// - Parameters:
    ///   - database: the pulse: requests use none whose history is not settled.
    ///   - signingKeys: over the same.
    ///   - remembered: the keys as this node has read them last.
    package init(
        _ database: Database, signingKeys: SigningKeys, masterKeys: MasterKeyRing,
        remembered: @escaping @Sendable () -> [SigningKey], logger: Logger
    ) {
        self.database = database
        self.signingKeys = signingKeys
        self.masterKeys = masterKeys
        self.remembered = remembered
        self.logger = logger
    }

    /// Why it is done; stands in the audit log.
    package enum Cause: String, Sendable {
        /// The database's identity or the list itself showed it.
        case found
        /// The operator says so.
        case told
    }

    package struct Outcome: Sendable {
        package let fence: Int64
        /// Those that are refused from now on.
        package let kids: [String]
        package let signsNext: [String]
        package let epoch: UniqueID
    }

    /// The tick's way in.
    package func begin(after epoch: UniqueID) async throws(PostgresError) {
        do {
            _ = try await begin(after: epoch, cause: .found, origin: Origin(actor: "node"))
        } catch let error as PostgresError {
            throw error
        } catch {
            let text = (error as? SigningKeyError)?.description ?? "\(type(of: error))"
            logger.error(
                "history was lost, and no key could be put in the place of those", metadata: ["error": "\(text)"])
            throw .unavailable(.unsettled)
        }
    }

    /// By command: nothing in the database shows a volume that was set back.
    package func begin(origin: Origin) async throws -> Outcome {
        let epoch: UniqueID = try await database.query(RevocationSQL.epoch).one().decode("epoch")
        guard let outcome = try await begin(after: epoch, cause: .told, origin: origin) else {
            throw Rejection.unavailable(retryAfter: 1)
        }
        return outcome
    }

    /// Nothing was lost (`pg_upgrade`): the database's name is this history's from now on.
    package func keep(origin: Origin) async throws {
        try await database.batch([Event.historyKept.row(origin), RevocationSQL.adoptHistory])
    }

    /// nil where the list is of another epoch by now: somebody else has done it.
    private func begin(after epoch: UniqueID, cause: Cause, origin: Origin) async throws -> Outcome? {
        try await masterKeys.readRecords(on: database)
        // Keys are made, and a token is asked, before the lock.
        let before = try await signingKeys.read()
        var unfit = await signingKeys.unfitStandbys(of: before.keys)
        var made: [NewSigningKey] = []
        for algorithm in decide(before, unfit).missing {
            made.append(try await signingKeys.generate(algorithm, for: before, beside: .nobody))
        }
        // A token that makes keys is back, and shows those that it has.
        if !made.isEmpty { unfit = await signingKeys.unfitStandbys(of: before.keys) }
        let (new, closed) = (made, unfit)
        return try await signingKeys.tidying(new) {
            try await database.transaction { transaction in
                try await transaction.query(SigningKeySQL.lockRing)
                guard try await transaction.query(RevocationSQL.epoch).one().decode("epoch") == epoch else {
                    return nil
                }
                try await SigningKeys.insert(new, founding: false, in: transaction)
                let fence: Int64 = try await transaction.query(RevocationSQL.raiseFence).one().decode("fence")
                // The clock is not held against this machine's: another machine's may have taken the database over.
                let ring = try RingReading(
                    try await transaction.batch(RingReading.statements), begun: BootInstant.now())
                let loss = decide(ring, closed, with: new)
                guard loss.missing.isEmpty else { throw SigningKeyError.noSigner }
                return try await carryOut(loss, fence: fence, cause: cause, origin: origin, in: transaction)
            }
        }
    }

    /// - Parameter new: keys that were made just now: none of them has signed anything.
    private func decide(_ ring: RingReading, _ unfit: [String], with new: [NewSigningKey] = []) -> HistoryLoss {
        func isNew(_ key: SigningKey) -> Bool { new.contains { $0.kid.isSameText(as: key.kid) } }
        return HistoryLoss.decide(
            ring.keys.filter { !isNew($0) }, remembered: remembered(), unfit: unfit, fresh: ring.keys.filter(isNew),
            policy: signingKeys.policy(for: ring), clock: ring.clock)
    }

    private func carryOut(
        _ loss: HistoryLoss, fence: Int64, cause: Cause, origin: Origin, in transaction: Transaction
    ) async throws -> Outcome {
        let now: Instant = try await transaction.query("SELECT steady AS now FROM steady_clock()").one().decode("now")
        let takeovers = loss.leaving.compactMap(\.change.takeover)
        let changes =
            loss.leaving.map { KeyCompromiseSQL.compromise($0.kid, at: now, $0.change) }
            + takeovers.map { KeyCompromiseSQL.takeOver($0) }
        for result in try await transaction.batch(changes) where result.affected != 1 {
            throw PostgresError.unexpectedRowCount(result.affected)
        }
        let kids = loss.leaving.map(\.kid) + loss.unknown
        let reason = "history was lost"
        let events =
            [Event.historyLost(cause: cause.rawValue, fence: fence, kids: kids)]
            + loss.leaving.map { .keyCompromised(kid: $0.kid, next: $0.change.takeover?.kid, reason: reason) }
            + loss.unknown.map { .keyCompromised(kid: $0, next: nil, reason: reason) }
        // The head of the list is locked last.
        let results = try await transaction.commit(
            events.map { $0.row(origin) }
                + [StatusIndexSQL.closeAll, StatusIndexSQL.endSessions, StatusIndexSQL.beginAll]
                + [SigningKeySQL.raiseVersionBeyondLoss, RevocationSQL.beginEpoch]
                + kids.map { RevocationSQL.append(.kid, keyID: $0) } + [RevocationSQL.epoch])
        return Outcome(
            fence: fence, kids: kids, signsNext: takeovers.map(\.kid),
            epoch: try results[results.count - 1].one().decode("epoch"))
    }
}
