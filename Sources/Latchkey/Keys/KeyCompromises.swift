import JOSE
package import Logging
package import Postgres

/// The day a signing key leaks. In one transaction under the ring's lock: the key is compromised and leaves the JWKS, a
/// standby signs at once, the `kid` goes on the revocation list for good (a thief signs any `exp`). Sessions stay, since
/// refresh tokens do not depend on signing keys: their clients recover by one refresh. A mistake is taken back by a lift
/// while the private half is not wiped.
package struct KeyCompromises: Sendable {
    private let signingKeys: SigningKeys
    private let ring: KeyRing
    private let revocations: RevocationList
    private let logger: Logger
    private let patience: Duration

    /// - Parameter patience: how long a key is waited for that shall follow a leaked one, which is still good meanwhile.
    package init(
        _ signingKeys: SigningKeys, ring: KeyRing, revocations: RevocationList, logger: Logger,
        patience: Duration = .seconds(10)
    ) {
        self.patience = patience
        self.signingKeys = signingKeys
        self.ring = ring
        self.revocations = revocations
        self.logger = logger
    }

    /// What `compromise` would decide now, and what its consequences are counted from.
    package struct Foresight: Sendable {
        package let key: SigningKey
        package let decision: KeyCompromise.Decision
        /// Standbys that do not open here, and are passed over.
        package let unfit: [String]
        /// Who takes over is in a token of which this process knows nothing.
        package let isUntold: Bool
        /// The widest that a node serves by.
        package let policy: KeyPolicy
        package let now: Instant
        /// By how much that is ahead of the database's own clock, which tokens and sessions tell; microseconds.
        package let lead: Int64
    }

    /// - Throws: `Rejection.notFound`.
    package func foresee(_ kid: String) async throws -> Foresight {
        let reading = try await signingKeys.read()
        guard let key = reading.keys.first(where: { $0.kid.isSameText(as: kid) }) else {
            throw Rejection.notFound(what: "signing key")
        }
        let unfit = await signingKeys.unfitStandbys(of: reading.keys)
        let decision = decide(kid, reading, without: unfit)
        let isUntold = reading.keys.contains { other in
            guard case .compromise(let change) = decision, let next = change.takeover?.kid else { return false }
            return other.kid.isSameText(as: next) && !signingKeys.canTell(other)
        }
        return Foresight(
            key: key, decision: decision, unfit: unfit.filter { !$0.isSameText(as: kid) }, isUntold: isUntold,
            policy: signingKeys.policy(for: reading), now: reading.clock.now,
            lead: reading.clock.now - reading.rawNow)
    }

    /// - Parameter unfit: standbys that do not open.
    private func decide(
        _ kid: String, _ reading: RingReading, without unfit: [String], vacancy: KeyCompromise.Vacancy = .refused
    ) -> KeyCompromise.Decision {
        let others = unfit.filter { !$0.isSameText(as: kid) }
        return KeyCompromise.decide(
            reading.keys.filter { key in !others.contains { $0.isSameText(as: key.kid) } }, kid: kid,
            policy: signingKeys.policy(for: reading), clock: reading.clock, vacancy: vacancy)
    }

    package struct Outcome: Sendable {
        package enum Novelty: Sendable { case new, already }

        /// Whether the private half of who takes over is there. A reason holds no secret.
        package enum Opening: Sendable, Equatable {
            case opens
            case fails(why: String)
            /// A command's shell may know nothing of the nodes' token.
            case unknown
        }

        package let kid: String
        package let novelty: Novelty
        package let since: Instant
        package let takeover: KeyCompromise.Takeover?
        /// Where the list holds the `kid`.
        package let position: FeedPosition
        /// It signed, and nobody follows it.
        package var leavesNobody = false
        /// Of who takes over; nil where nobody does.
        package var opening: Opening?
        /// Why no key could be made to follow it; nil: one was, or none was needed.
        package var unmade: String?
    }

    /// Whatever is due by the schedule beside the new standby is nobody's command.
    private static let schedule = Origin(actor: "node")

    /// Declares the key compromised. Done twice it is done once, so that whoever was told 503 asks again.
    ///
    /// - Throws: `Rejection.notFound`.
    package func compromise(_ kid: String, reason: String, origin: Origin) async throws -> Outcome {
        guard let outcome = try await declareWithSuccessor(kid, reason: reason, origin: origin) else {
            throw SigningKeyError.noSigner
        }
        await follow()
        // The tokens are refused already: a failure here is mended by the worker of any node. Nor does whoever asks wait for
        // a token that made no key just now.
        if outcome.unmade == nil { _ = try? await signingKeys.carryOutDue(origin: Self.schedule) }
        let told = await tellingOpening(outcome)
        log(told)
        return told
    }

    /// Looked at behind the act, which waits for no token.
    private func tellingOpening(_ outcome: Outcome) async -> Outcome {
        guard let next = outcome.takeover?.kid else { return outcome }
        var told = outcome
        do {
            let keys = try await signingKeys.read().keys
            guard let key = keys.first(where: { $0.kid.isSameText(as: next) }), signingKeys.canTell(key) else {
                told.opening = .unknown
                return told
            }
            try await signingKeys.prove(key, among: keys)
            told.opening = .opens
        } catch {
            told.opening = error is PostgresError ? .unknown : .fails(why: Self.text(error))
        }
        return told
    }

    private func log(_ outcome: Outcome) {
        var metadata: Logger.Metadata = ["kid": "\(outcome.kid)"]
        if let unmade = outcome.unmade { metadata["error"] = "\(unmade)" }
        if let next = outcome.takeover?.kid, case .fails(let why) = outcome.opening {
            metadata["next"] = "\(next)"
            metadata["next_error"] = "\(why)"
            logger.error(
                "a key was declared compromised, and the one that follows it does not open", metadata: metadata)
        } else if outcome.leavesNobody {
            logger.error("a key was declared compromised, and none follows it", metadata: metadata)
        }
    }

    /// Of what does not say that its text is safe to print only the kind is told.
    private static func text(_ error: any Error) -> String {
        (error as? any LoggableError)?.loggable ?? "\(type(of: error))"
    }

    private func declareWithSuccessor(_ kid: String, reason: String, origin: Origin) async throws -> Outcome? {
        // Before the lock: a token may take longer than a transaction may be idle.
        let reading = try await signingKeys.read()
        let unfit = await signingKeys.unfitStandbys(of: reading.keys)
        if let outcome = try await declare(kid, without: unfit, reason: reason, origin: origin) { return outcome }
        // It signs, and no other key that opens is there to follow it: that one is made first.
        guard let key = reading.keys.first(where: { $0.kid.isSameText(as: kid) }) else { return nil }
        let successor: NewSigningKey
        do {
            successor = try await signingKeys.generate(key.algorithm, for: reading, within: patience)
        } catch {
            // Whoever hung up asks again, and so does who could not read what keys are made with.
            if error is CancellationError || error is PostgresError || error is MasterKeyRefusal { throw error }
            // What a command's shell lacks says nothing of the nodes, which can make one.
            let isShell =
                if case .tokenUnset? = error as? SigningKeyError { signingKeys.role == .command } else { false }
            // A standby that does not open takes over all the same, or nobody: nobody signs then, unless it opens elsewhere,
            // which is better than whoever has the leaked key.
            var outcome = try await declare(
                kid, without: [], vacancy: isShell ? .refused : .accepted, reason: reason, origin: origin)
            if outcome == nil, isShell { throw error }
            outcome?.unmade = Self.text(error)
            return outcome
        }
        return try await signingKeys.tidying([successor]) {
            // A token that makes keys is back: a ripe standby of it that opens goes before one that nobody has read yet.
            let unfit = await signingKeys.unfitStandbys(of: reading.keys)
            return try await declare(kid, without: unfit, or: successor, reason: reason, origin: origin)
        }
    }

    /// nil where there is nobody to follow it.
    ///
    /// - Parameters:
    ///   - unfit: standbys that are passed over.
    ///   - successor: made for this, and put among the keys where no other one follows.
    private func declare(
        _ kid: String, without unfit: [String], or successor: NewSigningKey? = nil,
        vacancy: KeyCompromise.Vacancy = .refused, reason: String, origin: Origin
    ) async throws -> Outcome? {
        let (outcome, entry) = try await signingKeys.underLock { transaction, reading -> (Outcome?, KeyEntry?) in
            var (reading, events) = (reading, [Query]())
            var decision = decide(kid, reading, without: unfit, vacancy: vacancy)
            if case .noSuccessor = decision, let successor {
                events = [Event.keyMoved(kid: successor.kid, .published).row(origin)]
                try await SigningKeys.insert([successor], founding: false, in: transaction)
                let begun = BootInstant.now()
                reading = try RingReading(try await transaction.batch(RingReading.statements), begun: begun)
                decision = decide(kid, reading, without: unfit)
            }
            switch decision {
            case .unknownKey: throw Rejection.notFound(what: "signing key")
            case .noSuccessor: return (nil, nil)
            case .already(let since):
                let (entry, position) = try await Self.confirm(kid, transaction)
                return (Outcome(kid: kid, novelty: .already, since: since, takeover: nil, position: position), entry)
            case .compromise(let change):
                var changes = [KeyCompromiseSQL.compromise(kid, at: reading.clock.now, change)]
                if let takeover = change.takeover { changes.append(KeyCompromiseSQL.takeOver(takeover)) }
                try Self.expectOneEach(try await transaction.batch(changes))
                // The head of the list is locked last.
                events.append(Event.keyCompromised(kid: kid, next: change.takeover?.kid, reason: reason).row(origin))
                let row = try await transaction.commit(
                    events + [SigningKeySQL.raiseVersion, RevocationSQL.append(.kid, keyID: kid)]
                )[events.count + 1].one()
                let outcome = Outcome(
                    kid: kid, novelty: .new, since: reading.clock.now, takeover: change.takeover,
                    position: try FeedPosition(row), leavesNobody: change.leavesNobody)
                return (outcome, try KeyEntry(row))
            }
        }
        if let entry, let outcome { revocations.insert(entry, at: outcome.position) }
        if outcome?.novelty == .new { revocations.appendedKeys.add(.kid) }
        return outcome
    }

    package struct Restored: Sendable {
        package let kid: String
        package let state: SigningKeyState
        package let position: FeedPosition
    }

    /// Takes the key off the list and back into the JWKS. It does not sign again, unless it never did: then it is a standby
    /// that has to stand its lead anew.
    ///
    /// - Throws: `Rejection.notFound`, `.conflict` where its private half is wiped or it was never compromised.
    package func restore(_ kid: String, reason: String?, origin: Origin) async throws -> Restored {
        let (restored, novelty) = try await signingKeys.underLock {
            transaction, reading -> (Restored, Outcome.Novelty) in
            switch KeyCompromise.restoration(reading.keys, kid: kid, now: reading.clock.now) {
            case .unknownKey: throw Rejection.notFound(what: "signing key")
            case .destroyed:
                throw Rejection.conflict(code: "key-destroyed", detail: "Its private half is wiped: it stays refused.")
            case .notCompromised:
                guard try await transaction.query(RevocationSQL.latest(keyID: kid)).count == 1 else {
                    throw Rejection.conflict(code: "not-compromised", detail: "The key is not compromised.")
                }
                let (_, position) = try await Self.confirm(kid, transaction)
                let state = reading.keys.first { $0.kid.isSameText(as: kid) }?.state(at: reading.clock.now)
                return (Restored(kid: kid, state: state ?? .removed, position: position), .already)
            case .restore(let state):
                try Self.expectOneEach(try await transaction.batch([KeyCompromiseSQL.restore(kid)]))
                let row = try await transaction.commit([
                    Event.keyRestored(kid: kid, reason: reason).row(origin), SigningKeySQL.raiseVersion,
                    RevocationSQL.append(.lift, keyID: kid),
                ])[2].one()
                return (Restored(kid: kid, state: state, position: try FeedPosition(row)), .new)
            }
        }
        if novelty == .new { revocations.appendedKeys.add(.lift) }
        await follow()
        return restored
    }

    /// What was found done may rest on a commit whose fate was unknown (a wait for a standby that was cancelled): the
    /// answer rests on a commit of its own.
    private static func confirm(_ kid: String, _ transaction: Transaction) async throws -> (KeyEntry, FeedPosition) {
        let row = try await transaction.commit([
            RevocationSQL.proveLivingPrimary, RevocationSQL.latest(keyID: kid),
        ])[1].one()
        return (try KeyEntry(row), try FeedPosition(row))
    }

    private static func expectOneEach(_ results: [ResultSet]) throws(PostgresError) {
        for result in results where result.affected != 1 { throw .unexpectedRowCount(result.affected) }
    }

    /// This node's list and JWKS know it before the caller does; a node that cannot read now does so at its next tick. A
    /// command is no node and has read nothing.
    private func follow() async {
        guard revocations.position != nil, let reading = try? await revocations.read() else { return }
        await ring.follow(reading)
    }
}
