import JOSE
import Foundation
package import LibCrypto
package import Postgres

/// The life of the signing keys: founded once, rotated by hand. The list of them, their states and the JWKS are read
/// through `KeyRing`.
package struct SigningKeys: Sendable {
    /// So many keys always stand ready in the JWKS, so that a rotation can act at once, and another one right after it.
    package static let standbys = 2

    private let database: Database
    private let masterKeys: MasterKeys
    private let policy: KeyPolicy
    private let algorithm: SignatureAlgorithm

    package init(
        _ database: Database, masterKeys: MasterKeys, policy: KeyPolicy, algorithm: SignatureAlgorithm
    ) {
        self.database = database
        self.masterKeys = masterKeys
        self.policy = policy
        self.algorithm = algorithm
    }

    package func all() async throws(PostgresError) -> (keys: [SigningKey], now: Instant) {
        let results = try await database.batch([SigningKeySQL.all, SigningKeySQL.now])
        var keys: [SigningKey] = []
        for row in results[0].rows { keys.append(try SigningKey(row)) }
        return (keys, try results[1].one().decode("now"))
    }

    /// The policy that nodes serve by may be wider than that of whoever rotates: a command may run with other settings.
    /// The wider one holds, or a key would sign that a verifier does not know yet, or leave while its tokens live.
    private func widened(by row: ResultSet.Row) throws(PostgresError) -> KeyPolicy {
        var policy = policy
        policy.publishLead = max(policy.publishLead, try row.decode("longest_publish_lead"))
        policy.leeway = max(policy.leeway, try row.decode("longest_leeway"))
        return policy
    }

    private func readForRotation() async throws(PostgresError) -> (keys: [SigningKey], policy: KeyPolicy, now: Instant)
    {
        let results = try await database.batch([SigningKeySQL.all, SigningKeySQL.now])
        var keys: [SigningKey] = []
        for row in results[0].rows { keys.append(try SigningKey(row)) }
        let row = try results[1].one()
        return (keys, try widened(by: row), try row.decode("now"))
    }

    /// What `rotate` would do now.
    package func rotation(from kid: String) async throws -> KeySchedule.Rotation {
        let (keys, policy, now) = try await readForRotation()
        return KeySchedule.rotation(keys, from: kid, policy: policy, now: now)
    }

    /// Called before a node serves by `policy`; never lowered here.
    package func raiseLongest() async throws(PostgresError) {
        try await database.query(RevocationSQL.raiseLongest(lead: policy.publishLead, leeway: policy.leeway))
    }

    private func generate() async throws -> NewSigningKey {
        let algorithm = algorithm
        let masterKeys = masterKeys
        return try await withCheckedThrowingContinuation { continuation in
            // RSA primes may take a second: a thread for that alone, not one that signs tokens.
            Thread { continuation.resume(with: Result { try NewSigningKey(algorithm, under: masterKeys) }) }.start()
        }
    }

    /// Makes the first keys of an empty installation: one that signs and two standbys, all ripe. Of several nodes that
    /// start at once, one does it.
    package func found(origin: Origin) async throws {
        guard try await all().keys.isEmpty else { return }
        var born: [NewSigningKey] = []
        for _ in 0...Self.standbys { born.append(try await generate()) }
        let keys = born
        try await database.transaction { transaction in
            let results = try await transaction.batch([SigningKeySQL.lockRing, SigningKeySQL.all])
            guard results[1].count == 0, let first = keys.first else { return }
            var statements = keys.map { SigningKeySQL.insert($0, founding: true) }
            statements += [SigningKeySQL.found(active: first.kid), SigningKeySQL.raiseVersion]
            statements.append(Event.keysFounded(kids: keys.map(\.kid)).row(origin))
            try await transaction.commit(statements)
        }
    }

    /// Rotates away from `kid`: a ripe standby signs from two seconds on, and a new standby is published.
    ///
    /// The new key is generated before the transaction and everything is decided again inside it, under the ring's lock.
    /// - Throws: nothing of its own; what cannot be done now is an outcome.
    package func rotate(from kid: String, reason: String?, origin: Origin) async throws -> KeySchedule.Rotation {
        let (keys, policy, now) = try await readForRotation()
        let first = KeySchedule.rotation(keys, from: kid, policy: policy, now: now)
        guard case .rotate(_, let next, _) = first else { return first }
        // With another installation's master keys the standby made below would open for no node once it signs.
        for key in keys where key.kid.isSameText(as: next) { _ = try key.open(with: masterKeys) }
        let standby = try await generate()
        return try await database.transaction { transaction in
            let results = try await transaction.batch([SigningKeySQL.lockRing, SigningKeySQL.all, SigningKeySQL.now])
            var keys: [SigningKey] = []
            for row in results[1].rows { keys.append(try SigningKey(row)) }
            let clock = try results[2].one()
            let policy = try widened(by: clock)
            let rotation = KeySchedule.rotation(keys, from: kid, policy: policy, now: try clock.decode("now"))
            guard case .rotate(let from, let to, let at) = rotation else { return rotation }
            let longest: Int64 = try clock.decode("longest_access_token")
            let changed = try await transaction.batch([
                SigningKeySQL.retire(from, at: at, removedAt: at + (longest + policy.leeway)),
                SigningKeySQL.activate(to, at: at),
            ])
            guard changed.allSatisfy({ $0.affected == 1 }) else {
                throw PostgresError.unexpectedRowCount(changed.map(\.affected).reduce(0, +))
            }
            try await transaction.commit([
                SigningKeySQL.insert(standby, founding: false), SigningKeySQL.raiseVersion,
                Event.keyRotated(from: from, to: to, reason: reason).row(origin),
            ])
            return rotation
        }
    }
}
