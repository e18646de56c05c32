import JOSE
package import LatchkeyVerifier
package import LibCrypto
package import Logging
package import PKCS11
package import Postgres
import Synchronization

/// The signing keys as this node holds them: one snapshot, read again when the database's version is a newer one. Which
/// key signs is read off the clock. Private halves stay sealed until they are needed.
package final class KeyRing: Sendable {
    private struct Snapshot: Sendable {
        let version: Int64
        let keys: [SigningKey]
        let verification: VerificationKeys
        let jwks: EncodedJWKS
        /// When the next key leaves the JWKS.
        let expires: Instant?

        init(version: Int64, keys: [SigningKey], now: Instant, maxAge: Int64) {
            self.version = version
            self.keys = keys
            let published = keys.filter { $0.isInJWKS(at: now) }.map(\.publicKey)
            verification = VerificationKeys(published)
            jwks = EncodedJWKS(JSONWebKeySet(published), maxAge: maxAge)
            expires = keys.compactMap(\.removedAt).filter { $0 > now }.min()
        }
    }

    private struct State {
        var snapshot: Snapshot?
        /// Which history the snapshot is of: the lost one's is not the newer one for its version.
        var history = 0
        /// The snapshot was the database's at this instant.
        var confirmedAt: BootInstant?
        /// When it was read last for a token of an unknown key, and when that failed last.
        var askedAt: BootInstant?
        var failedAt: BootInstant?
        /// Who waits for such a reading.
        var waiting = 0
        var inForce: SettingsInForce?
        var opened: [String: PrivateKey] = [:]
        /// What a client wanted and no key is there for.
        var missed: Set<SignatureAlgorithm> = []
        /// What was logged as not opening.
        var closed: Set<String> = []

        enum Turn { case over, failed, ours, wait }

        /// What whoever has waited since `called` for a reading does now, with so many nanoseconds `left` to him. For want of
        /// time no reading shall fail, since it fails for all.
        mutating func turn(of called: BootInstant, left: Int64) -> Turn {
            if let confirmedAt, confirmedAt >= called { return .over }
            if let failedAt, failedAt >= called { return .failed }
            let now = BootInstant.now()
            if left < KeyRing.pause / 4 { return .wait }
            if let askedAt, now - askedAt < KeyRing.pause { return .wait }
            askedAt = now
            return .ours
        }
    }

    private let database: Database
    private let pulse: Database
    private let masterKeys: MasterKeyRing
    private let token: SecurityToken?
    package let policy: KeyPolicy
    private let algorithm: SignatureAlgorithm
    private let clock: NodeClock
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - policy: this node's own: by it alone it says how long its answers may be kept.
    ///   - algorithm: which signs what nobody asks another for.
    package init(
        _ database: Database, pulse: Database, masterKeys: MasterKeyRing, policy: KeyPolicy,
        algorithm: SignatureAlgorithm = .rs256, clock: NodeClock, token: SecurityToken? = nil, logger: Logger
    ) {
        self.database = database
        self.pulse = pulse
        self.masterKeys = masterKeys
        self.token = token
        self.policy = policy
        self.algorithm = algorithm
        self.clock = clock
        self.logger = logger
    }

    /// The keys that tokens are verified with; nil before the first reading.
    package var verificationKeys: VerificationKeys? { state.withLock { $0.snapshot?.verification } }

    package var keys: [SigningKey] { state.withLock { $0.snapshot?.keys ?? [] } }

    /// The JWKS, nil where the ring is so old that it might lack a key which is about to sign.
    package var jwks: EncodedJWKS? {
        state.withLock { state in
            guard let snapshot = state.snapshot, let confirmedAt = state.confirmedAt,
                policy.serves(ringAged: BootInstant.now() - confirmedAt)
            else { return nil }
            return snapshot.jwks
        }
    }

    /// Called after every reading of the node's tick, with the version it saw.
    package func follow(_ reading: RevocationList.Reading) async {
        do {
            state.withLock { $0.inForce = reading.inForce }
            try await reload(atLeast: reading.keyRingVersion, of: reading.number, begun: reading.begun)
        } catch {
            logger.error("the key ring could not be read", metadata: ["error": "\(error)"])
        }
    }

    /// Makes sure that the snapshot is of that history and not older than `version`.
    private func reload(atLeast version: Int64, of history: Int, begun: BootInstant) async throws(PostgresError) {
        let now = clock.reading?.now
        let isCurrent = state.withLock { state in
            guard let snapshot = state.snapshot, state.history >= history, snapshot.version >= version else {
                return false
            }
            if let expires = snapshot.expires, let now, expires <= now {
                state.snapshot = Snapshot(
                    version: snapshot.version, keys: snapshot.keys, now: now, maxAge: policy.maxAge)
            }
            state.confirmedAt = max(state.confirmedAt ?? begun, begun)
            return true
        }
        if !isCurrent { try await load(on: pulse, of: history) }
    }

    /// Returns once the snapshot is as of an instant behind the call: of a key that it does not hold then, no token was out.
    /// A tick's reading will do, and of all who call one a second reads by itself: forged `kid`s cost no more. Anybody may
    /// send those: while the database is away no crowd of them waits, and none for longer than `longestWait`.
    ///
    /// - Throws: where it could not be read.
    package func readAgain() async throws {
        let called = BootInstant.now()
        let most = Patience.current?.bounded(Self.longestWait) ?? Self.longestWait
        let waiting = state.withLock { state in
            state.waiting += 1
            return state.waiting
        }
        defer { state.withLock { $0.waiting -= 1 } }
        guard waiting <= Self.mostWaiting else { throw Rejection.unavailable(retryAfter: 1) }
        while true {
            let left = most - (BootInstant.now() - called)
            guard left > 0 else { throw Rejection.unavailable(retryAfter: 1) }
            switch state.withLock({ $0.turn(of: called, left: left) }) {
            case .over: return
            case .failed: throw Rejection.unavailable(retryAfter: 1)
            case .ours: return try await loadForAll(within: left)
            case .wait:
                let begun = ContinuousClock.now
                try await Task.sleep(for: .milliseconds(50))
                Patience.current?.spend(ContinuousClock.now - begun)
            }
        }
    }

    private func loadForAll(within timeout: Int64) async throws(PostgresError) {
        do {
            try await load(on: database, timeout: timeout)
        } catch {
            // Of a caller that hung up it says nothing about the database.
            if !Task.isCancelled { state.withLock { $0.failedAt = .now() } }
            throw error
        }
    }

    /// Nanoseconds.
    private static let pause: Int64 = 1_000_000_000
    private static let longestWait: Int64 = 1_500_000_000
    private static let mostWaiting = 64

    /// - Parameter history: nil: that of the snapshot that is there.
    private func load(
        on database: Database, of history: Int? = nil, timeout: Int64? = nil
    ) async throws(PostgresError) {
        let begun = BootInstant.now()
        let results = try await database.lease(timeout: timeout) { lease throws(PostgresError) in
            try await lease.batch(
                [
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", SigningKeySQL.version, SigningKeySQL.all,
                    "COMMIT",
                ],
                commits: .no)
        }
        let head = try results[1].one()
        var keys: [SigningKey] = []
        for row in results[2].rows { keys.append(try SigningKey(row)) }
        let snapshot = Snapshot(
            version: try head.decode("version"), keys: keys, now: try head.decode("now"), maxAge: policy.maxAge)
        state.withLock { state in
            let history = history ?? state.history
            let isOther = state.history < history
            guard isOther || state.snapshot.map({ $0.version <= snapshot.version }) ?? true else { return }
            state.history = max(state.history, history)
            state.snapshot = snapshot
            state.confirmedAt = begun
            let usable = Set(keys.filter { $0.hasPrivateHalf && $0.compromisedAt == nil }.map(\.kid))
            state.opened = state.opened.filter { usable.contains($0.key) }
            state.closed = []
        }
    }

    /// The widest policy that counts, as the last tick read it.
    package var policyInForce: KeyPolicy {
        state.withLock { $0.inForce }.map { policy.widened(by: $0) } ?? policy
    }

    /// Whether the schedule asks for something, as far as this node's memory tells.
    package var isDue: Bool {
        guard let clock = clock.reading else { return false }
        return state.withLock { state in
            guard let snapshot = state.snapshot, let inForce = state.inForce else { return false }
            // Those of clients have keys already, are missed, or are found by the next round.
            let known = Set(snapshot.keys.filter { $0.isLastSigner || $0.isStandby }.map(\.algorithm))
            // Once for each miss: whether it is in use (still) is for the database to say.
            let isMissed = !state.missed.isSubset(of: known)
            state.missed = []
            return isMissed
                || !KeySchedule.due(
                    snapshot.keys, algorithms: inForce.algorithmsInUse.union(known),
                    policy: policy.widened(by: inForce),
                    clock: clock
                ).isEmpty
        }
    }

    /// The key that signs what was issued at `instant` by a statement that saw this version of the ring: the snapshot is
    /// read again first where it is older, so that no node signs on with a key that was rotated away.
    ///
    /// The instant is a token's `iat`. Where the database's clock was stepped back behind what this node has read, the
    /// key of the steady clock signs: the one of that earlier time may be wiped.
    ///
    /// - Parameter wanted: the algorithm that a client asks for; nil: the setting's.
    /// - Throws: `Rejection.unavailable` where the key does not open: none signs in its place.
    package func signer(
        at instant: Instant, version: Int64, algorithm wanted: SignatureAlgorithm? = nil
    ) async throws -> (kid: String, key: PrivateKey, holder: KeyHolder) {
        if state.withLock({ ($0.snapshot?.version ?? -1) < version }) { try await load(on: database) }
        let steady = max(instant, clock.largest ?? instant)
        let signer = state.withLock { state in
            KeySchedule.signer(state.snapshot?.keys ?? [], at: steady, wanted: wanted, otherwise: algorithm)
        }
        if let wanted, wanted != signer?.algorithm { state.withLock { _ = $0.missed.insert(wanted) } }
        // Once it is known that a token hangs nobody waits behind those that found out.
        guard let signer, signer.holder == .database || token?.failure != .doesNotAnswer, let key = open(signer) else {
            throw Rejection.unavailable(retryAfter: 1)
        }
        return (signer.kid, key, signer.holder)
    }

    private func open(_ signer: SigningKey) -> PrivateKey? {
        if let opened = state.withLock({ $0.opened[signer.kid] }) { return opened }
        do {
            let key = try signer.open(with: masterKeys.keys, token, among: keys)
            state.withLock { $0.opened[signer.kid] = key }
            return key
        } catch {
            // Once for each reading of the ring: every login comes by here.
            if state.withLock({ $0.closed.insert(signer.kid).inserted }) {
                let text = (error as? SigningKeyError)?.description ?? "\(type(of: error))"
                logger.error("the signing key does not open", metadata: ["error": "\(text)"])
            }
            return nil
        }
    }

    /// Whether this node could sign now, by every algorithm that signs: part of readiness. A key in the token counts while
    /// the token's last call went well and holds it; `TokenWatch` asks every two seconds.
    package func canSign() async -> Bool {
        guard let now = clock.reading?.now else { return false }
        let active = keys.filter { $0.state(at: now) == .active }
        if active.contains(where: { $0.holder == .token && token?.failure(of: $0.kid) != nil }) { return false }
        return !active.isEmpty && active.allSatisfy { open($0) != nil }
    }

    /// Signs once by every key in the token whose time it is, on a thread of its own.
    ///
    /// - Returns: what the token failed with; nil: nothing, or there is no such key.
    package func proveToken() async -> SecurityTokenError? {
        guard let token, let now = clock.reading?.now else { return nil }
        let signers = keys.filter { $0.holder == .token && $0.state(at: now) == .active }
        guard !signers.isEmpty else { return nil }
        _ = try? await onOwnThread(within: SecurityToken.longest) {
            for key in signers { _ = try? token.key(of: key).sign([]) }
        }
        return signers.lazy.compactMap { token.failure(of: $0.kid) }.first
    }
}
