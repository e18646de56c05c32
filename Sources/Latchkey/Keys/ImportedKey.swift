import JOSE
package import LibCrypto
package import Postgres

extension SigningKeys {
    package enum Import: Sendable, Equatable {
        /// It stands in the JWKS from now on and may sign once it has stood for the publish lead.
        case imported(kid: String)
        /// The same key is there, by this algorithm; nothing was changed.
        case alreadyThere(kid: String, SignatureAlgorithm, SigningKeyState)
    }

    /// Takes a key that others made as one more standby. It is sealed as our own are; whoever made it may still have it.
    ///
    /// - Parameter key: checked when it was read (`PrivateKey.init(pem:passphrase:algorithm:)`).
    /// - Throws: `SigningKeyError.tokenOnly` where the installation's keys are to be made in a token: this one has been
    ///   outside of it.
    package func importKey(_ key: PrivateKey, origin: Origin) async throws -> Import {
        guard token == nil else { throw SigningKeyError.tokenOnly }
        let standby = try NewSigningKey(sealing: key, under: masterKeys)
        return try await database.transaction { transaction in
            let results = try await transaction.batch([SigningKeySQL.lockRing, SigningKeySQL.all, SigningKeySQL.now])
            let now: Instant = try results[2].one().decode("now")
            for row in results[1].rows {
                let known = try SigningKey(row)
                // An RSA key's thumbprint is the same for RS256 and PS256: it signs by one of them for ever.
                guard known.kid.isSameText(as: standby.kid) else { continue }
                return .alreadyThere(
                    kid: known.kid, known.publicKey.publicKey.algorithm, known.state(at: now))
            }
            try await transaction.commit([
                SigningKeySQL.insert(standby, founding: false), SigningKeySQL.raiseVersion,
                Event.keyImported(kid: standby.kid, algorithm: key.algorithm.rawValue).row(origin),
            ])
            return .imported(kid: standby.kid)
        }
    }
}
