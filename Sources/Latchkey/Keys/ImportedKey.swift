import JOSE
package import LibCrypto
import Postgres

extension SigningKeys {
    package enum Import: Sendable, Equatable {
        /// It stands in the JWKS from now on and may sign once it has stood for the publish lead.
        case imported(kid: String)
        /// The same key is there, by this algorithm; nothing was changed.
        case alreadyThere(kid: String, SignatureAlgorithm, SigningKeyState)
        /// Nothing signs by the key's algorithm: the schedule would remove it at its next look.
        case unused(SignatureAlgorithm)
        /// No key has ever signed: the first ones are made by the first node, and only where there are none.
        case beforeTheFirstKeys
    }

    /// Takes a key that others made as one more standby. It is sealed as our own are; whoever made it may still have it.
    ///
    /// - Parameter key: checked when it was read (`PrivateKey.init(pem:passphrase:algorithm:)`).
    /// - Throws: `SigningKeyError.tokenOnly` where the installation's keys are to be made in a token: this one has been
    ///   outside of it.
    package func importKey(_ key: PrivateKey, origin: Origin) async throws -> Import {
        let ring = try await read()
        guard holder(for: ring) == .database else { throw SigningKeyError.tokenOnly }
        let standby = try NewSigningKey(sealing: key, under: try await newestMasterKeys())
        let asked = try await asked(for: ring)
        return try await underLock { transaction, ring in
            // An RSA key's thumbprint is the same for RS256 and PS256: it signs by one of them for ever.
            if let known = ring.keys.first(where: { $0.kid.isSameText(as: standby.kid) }) {
                return .alreadyThere(kid: known.kid, known.algorithm, known.state(at: ring.clock.now))
            }
            guard ring.keys.contains(where: { $0.activatesAt != nil }) else { return .beforeTheFirstKeys }
            let inUse = ring.algorithms(asked)
            guard inUse.isEmpty || inUse.contains(key.algorithm) else { return .unused(key.algorithm) }
            try await Self.insert([standby], founding: false, in: transaction)
            try await transaction.commit([
                SigningKeySQL.raiseVersion,
                Event.keyImported(kid: standby.kid, algorithm: key.algorithm.rawValue).row(origin),
            ])
            return .imported(kid: standby.kid)
        }
    }
}
