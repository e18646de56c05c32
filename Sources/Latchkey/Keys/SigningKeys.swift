import Foundation
import JOSE
package import LibCrypto
package import PKCS11
package import Postgres

/// The life of the signing keys: founded once, rotated by schedule or by hand, removed and wiped. What is due is decided
/// by `KeySchedule`; this room carries it out, each time in one transaction under the ring's lock, in which everything is
/// decided again: of several nodes one acts. The list of the keys, their states and the JWKS are read through `KeyRing`.
package struct SigningKeys: Sendable {
    private let database: Database
    let masterKeys: MasterKeyRing
    let token: SecurityToken?
    let role: ProcessRole
    private let policy: KeyPolicy
    private let clock: NodeClock
    private let algorithm: SignatureAlgorithm
    private let looks = StandbyLooks()
    /// The algorithms that clients ask for.
    private let alsoInUse: @Sendable () async throws -> Set<SignatureAlgorithm>

    /// - Parameters:
    ///   - role: a command goes by what the nodes have told of theirs, and by the following where they have not.
    ///   - policy: this process's own; what stands in the database is wider, or becomes so before a node serves.
    ///   - clock: holds the database's against this machine's.
    ///   - algorithm: of the keys of an empty installation.
    ///   - token: where new keys are made and stay; nil: they are sealed in the database.
    package init(
        _ database: Database, as role: ProcessRole = .node, masterKeys: MasterKeyRing, policy: KeyPolicy,
        clock: NodeClock, algorithm: SignatureAlgorithm, token: SecurityToken? = nil,
        alsoInUse: @escaping @Sendable () async throws -> Set<SignatureAlgorithm> = { [] }
    ) {
        self.database = database
        self.role = role
        self.masterKeys = masterKeys
        self.token = token
        self.policy = policy
        self.clock = clock
        self.algorithm = algorithm
        self.alsoInUse = alsoInUse
    }

    package func read() async throws(PostgresError) -> RingReading {
        let begun = BootInstant.now()
        return try RingReading(try await database.batch(RingReading.statements), begun: begun)
    }

    package func all() async throws(PostgresError) -> (keys: [SigningKey], now: Instant) {
        let ring = try await read()
        return (ring.keys, ring.clock.now)
    }

    /// How many stand sealed under that version of the master key.
    package func count(sealedUnder version: Int16) async throws(PostgresError) -> Int64 {
        try await database.query(MasterKeySQL.sealed(under: version)).one().decode("count")
    }

    /// The policy by which a decision on that reading is made.
    package func policy(for ring: RingReading) -> KeyPolicy {
        switch role {
        case .node: policy.widened(by: ring.inForce)
        case .command: policy.replaced(by: ring.inForce, ring.keeping)
        }
    }

    /// The installation's own algorithm.
    package func algorithm(for ring: RingReading) -> SignatureAlgorithm {
        guard role == .command, let keeping = ring.keeping else { return algorithm }
        return SignatureAlgorithm(rawValue: keeping.algorithm) ?? algorithm
    }

    /// Those that clients ask for, of those that can be made.
    func asked(for ring: RingReading) async throws -> Set<SignatureAlgorithm> {
        let asked = try await alsoInUse()
        return holder(for: ring) == .token ? asked.intersection(SecurityToken.algorithms) : asked
    }

    /// Runs `body` in a transaction that holds the ring's lock, on what is read behind it.
    ///
    /// - Throws: `Rejection.unavailable` where the database's clock was stepped and no tick has told of it yet.
    package func underLock<R: Sendable>(
        _ body: @Sendable (Transaction, RingReading) async throws -> R
    ) async throws -> R {
        try await database.transaction { transaction in
            // The lock may be waited for: the clock is held against this machine's from there on.
            try await transaction.query(SigningKeySQL.lockRing)
            let begun = BootInstant.now()
            let ring = try RingReading(try await transaction.batch(RingReading.statements), begun: begun)
            guard clock.agrees(with: ring.sample) else { throw Rejection.unavailable(retryAfter: 1) }
            return try await body(transaction, ring)
        }
    }

    func forgetLeft(_ kid: String) async throws(PostgresError) {
        try await database.query(SigningKeySQL.forgetLeft(kid))
    }

    /// What `rotate` would do now.
    package func rotation(from kid: String) async throws(PostgresError) -> KeySchedule.Rotation {
        let ring = try await read()
        return rotation(ring, from: kid, without: await passedOver(ring, from: kid))
    }

    private func rotation(
        _ ring: RingReading, from kid: String, without unfit: [String]
    ) -> KeySchedule.Rotation {
        let keys = ring.keys.filter { key in !unfit.contains { $0.isSameText(as: key.kid) } }
        return KeySchedule.rotation(keys, from: kid, policy: policy(for: ring), clock: ring.clock)
    }

    /// The standbys that a rotation passes over since they do not open. None where that is all of them: it is this process
    /// then that lacks something.
    private func passedOver(_ ring: RingReading, from kid: String) async -> [String] {
        guard case .rotate(_, let next, _) = rotation(ring, from: kid, without: []) else { return [] }
        let unfit = await unfitStandbys(of: ring.keys)
        let algorithm = ring.keys.first { $0.kid.isSameText(as: next) }?.algorithm
        let isFit = ring.keys.contains { key in
            key.isStandby && key.publishedAt != nil && key.algorithm == algorithm
                && !unfit.contains { $0.isSameText(as: key.kid) }
        }
        return isFit ? unfit : []
    }

    /// - Parameter limit: how long it is waited for; what is made later is destroyed.
    func generate(
        _ algorithm: SignatureAlgorithm, for ring: RingReading, beside company: Company = .others,
        within limit: Duration = SecurityToken.longestGeneration
    ) async throws -> NewSigningKey {
        let token = try maker(for: ring, beside: company)
        let masterKeys = try await newestMasterKeys()
        return try await onOwnThread(
            within: limit,
            // A token has little room, and nobody else would ever destroy it there.
            unheard: { key in try? token?.destroy(kid: key.kid) }
        ) {
            try NewSigningKey(algorithm, under: masterKeys, in: token)
        }
    }

    /// What new keys are sealed under. A command that waits for verifiers may have read the records hours ago.
    func newestMasterKeys() async throws(PostgresError) -> MasterKeys {
        if role == .command { try await masterKeys.readRecords(on: database) }
        return masterKeys.keys
    }

    /// Under the ring's lock.
    ///
    /// - Throws: `SigningKeyError.sealedTooLate`.
    static func insert(_ keys: [NewSigningKey], founding: Bool, in transaction: Transaction) async throws {
        guard !keys.isEmpty else { return }
        let results = try await transaction.batch(keys.map { SigningKeySQL.insert($0, founding: founding) })
        for (key, result) in zip(keys, results) where result.affected != 1 {
            throw SigningKeyError.sealedTooLate(version: key.masterKeyVersion)
        }
    }

    /// Makes the first keys of an empty installation: one that signs and two standbys, all ripe. Of several nodes that
    /// start at once, one does it.
    package func found(origin: Origin) async throws {
        let ring = try await read()
        guard ring.keys.isEmpty else { return }
        var born: [NewSigningKey] = []
        for _ in 0...KeySchedule.standbys { born.append(try await generate(algorithm(for: ring), for: ring)) }
        let keys = born
        try await tidying(keys) {
            try await underLock { transaction, ring in
                guard ring.keys.isEmpty, let first = keys.first else { return }
                try await Self.insert(keys, founding: true, in: transaction)
                try await transaction.commit([
                    SigningKeySQL.found(active: first.kid), SigningKeySQL.raiseVersion,
                    Event.keysFounded(kids: keys.map(\.kid)).row(origin),
                ])
            }
        }
    }

    /// Rotates away from `kid`: a ripe standby signs from two seconds on, and a new standby is published.
    ///
    /// A standby that does not open is passed over while another one does; what cannot be done now is an outcome.
    ///
    /// - Throws: `SigningKeyError` where no standby opens, or none can be made in its place.
    package func rotate(from kid: String, reason: String?, origin: Origin) async throws -> KeySchedule.Rotation {
        let ring = try await read()
        let unfit = await passedOver(ring, from: kid)
        let first = rotation(ring, from: kid, without: unfit)
        // It may rest on a commit whose wait for a standby was cancelled: the answer rests on one behind it.
        if case .alreadyRotated = first { try await database.query(RevocationSQL.proveLivingPrimary) }
        guard case .rotate(_, let next, _) = first else { return first }
        guard let key = ring.keys.first(where: { $0.kid.isSameText(as: next) }) else { return first }
        // With another installation's master keys the standby made below would open for no node once it signs.
        try await prove(key, among: ring.keys)
        let standby = try await generate(key.algorithm, for: ring)
        return try await tidying([standby]) {
            try await underLock { transaction, ring in
                let rotation = rotation(ring, from: kid, without: unfit)
                guard case .rotate(let from, let to, let at) = rotation else { return rotation }
                try await commit([.rotate(from: from, to: to, at: at), .publish(standby)], reason, origin, transaction)
                return rotation
            }
        }
    }

    /// Carries out what is due by the schedule. Keys are generated before the transaction.
    ///
    /// - Returns: what was done; empty where nothing was due, or another node was first.
    @discardableResult
    package func carryOutDue(origin: Origin) async throws -> [KeySchedule.Step] {
        let ring = try await read()
        let asked = try await asked(for: ring)
        @Sendable func due(_ ring: RingReading, _ keys: [SigningKey]) -> [KeySchedule.Step] {
            KeySchedule.due(keys, algorithms: ring.algorithms(asked), policy: policy(for: ring), clock: ring.clock)
        }
        // A standby that does not open is passed over and counts for none, so that two stand ready that do; one that cannot
        // be made is left for the next round. Neither may keep all else from being done, for ever.
        let isAboutToSign = due(ring, ring.keys).contains(where: \.takesStandby)
        let unfit = await looks.unfit(of: ring.keys, isAboutToSign: isAboutToSign) {
            await unfitStandbys(of: ring.keys)
        }
        let isFit = ring.keys.contains { key in
            key.isStandby && key.publishedAt != nil && !unfit.contains { $0.isSameText(as: key.kid) }
        }
        let isBlind = ring.keys.contains { $0.isStandby && !canTell($0) }
        @Sendable func decide(_ ring: RingReading) -> [KeySchedule.Step] {
            let all = due(ring, ring.keys)
            // Where none opens it is this node that lacks something: others rotate. Where nobody signs none does.
            let isOurs = isFit || unfit.isEmpty || KeySchedule.nobodySigns(ring.keys, at: ring.clock.now)
            guard isOurs, !isBlind else { return all.filter { !$0.takesStandby } }
            // Those of an algorithm that goes out of use leave as they are.
            let leaving = all.filter { step in
                if case .remove(let kid, _) = step { unfit.contains { $0.isSameText(as: kid) } } else { false }
            }
            return due(ring, ring.keys.filter { key in !unfit.contains { $0.isSameText(as: key.kid) } }) + leaving
        }
        let first = decide(ring)
        guard !first.isEmpty else {
            try await destroyLeft(ring.keys)
            return []
        }
        var (born, failure): ([NewSigningKey], (any Error)?) = ([], nil)
        for case .publish(let algorithm) in first {
            do { born.append(try await generate(algorithm, for: ring)) } catch { failure = error }
        }
        let made = born
        let done = try await tidying(made) { try await carryOut(decide, with: made, origin: origin) }
        do { try await destroyLeft(ring.keys, after: done) } catch { failure = failure ?? error }
        if let failure { throw failure }
        return done
    }

    /// - Parameter made: for what `decide` publishes.
    private func carryOut(
        _ decide: @Sendable (RingReading) -> [KeySchedule.Step], with made: [NewSigningKey], origin: Origin
    ) async throws -> [KeySchedule.Step] {
        try await underLock { transaction, ring in
            var left = made
            let planned = decide(ring).map { step in
                (step: step, change: KeyChange(step, at: ring.clock.now, from: &left))
            }
            // A rotation without a new standby behind it waits for the next round; where nobody signs nothing does.
            let isVacant = KeySchedule.nobodySigns(ring.keys, at: ring.clock.now)
            let isShort = !isVacant && planned.contains { $0.change == nil }
            var done: [KeySchedule.Step] = []
            var changes: [KeyChange] = []
            for (step, change) in planned {
                guard let change, !(isShort && step.takesStandby) else { continue }
                done.append(step)
                changes.append(change)
            }
            guard !changes.isEmpty else { return [] }
            try await commit(changes, "schedule", origin, transaction)
            return done
        }
    }

    private func commit(
        _ changes: [KeyChange], _ reason: String?, _ origin: Origin, _ transaction: Transaction
    ) async throws {
        let born = changes.compactMap { if case .publish(let key) = $0 { key } else { nil } }
        try await Self.insert(born, founding: false, in: transaction)
        let statements = changes.flatMap(\.statements)
        let results = statements.isEmpty ? [] : try await transaction.batch(statements)
        for result in results where result.affected != 1 {
            throw PostgresError.unexpectedRowCount(result.affected)
        }
        try await transaction.commit(
            changes.map { $0.event(reason: reason).row(origin) } + [SigningKeySQL.raiseVersion])
    }
}

extension SettingsInForce {
    /// Those that this version knows.
    var algorithmsInUse: Set<SignatureAlgorithm> { Set(algorithms.compactMap { SignatureAlgorithm(rawValue: $0) }) }
}
