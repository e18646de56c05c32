import JOSE
package import LibCrypto

/// A key just generated, its private half sealed under the current master key: AES-256-GCM, bound by its associated data
/// to `kid` and algorithm, so that no blob opens in another row's place.
package struct NewSigningKey: Sendable {
    let publicKey: JSONWebKey
    let sealed: [UInt8]
    let masterKeyVersion: Int16

    package var kid: String { publicKey.keyID }

    /// Takes tens of milliseconds, sometimes much more (RSA primes): off the cooperative threads.
    init(_ algorithm: SignatureAlgorithm, under masterKeys: MasterKeys) throws {
        let key = try PrivateKey.generate(algorithm)
        publicKey = JSONWebKey(key.publicKey)
        masterKeyVersion = masterKeys.current
        sealed = try AES256GCM.seal(
            try key.pkcs8(), key: try masterKeys.sealingKey(version: masterKeyVersion),
            associatedData: Self.associatedData(kid: publicKey.keyID, algorithm: algorithm))
    }

    static func associatedData(kid: String, algorithm: SignatureAlgorithm) -> [UInt8] {
        Array("signing-key\n\(kid)\n\(algorithm.rawValue)".utf8)
    }
}

extension SigningKey {
    /// Opens the private half.
    func open(with masterKeys: MasterKeys) throws -> PrivateKey {
        guard let sealed else { throw SigningKeyError.wiped(kid: kid) }
        let algorithm = publicKey.publicKey.algorithm
        let key: PrivateKey
        do {
            let der = try AES256GCM.open(
                sealed, key: try masterKeys.sealingKey(version: masterKeyVersion),
                associatedData: NewSigningKey.associatedData(kid: kid, algorithm: algorithm))
            key = try PrivateKey(pkcs8: der, algorithm: algorithm)
        } catch let error as CryptoError {
            throw SigningKeyError.doesNotOpen(kid: kid, version: masterKeyVersion, error)
        }
        guard JSONWebKey.thumbprint(of: key.publicKey).isSameText(as: kid) else {
            throw SigningKeyError.wrongHalves(kid: kid)
        }
        return key
    }
}

package enum SigningKeyError: Error, Sendable, CustomStringConvertible {
    case wiped(kid: String)
    case doesNotOpen(kid: String, version: Int16, CryptoError)
    case wrongHalves(kid: String)
    case noSigner

    package var description: String {
        switch self {
        case .wiped(let kid): "the private half of signing key \(kid) has been wiped"
        case .doesNotOpen(let kid, let version, let error):
            "signing key \(kid) does not open with master key \(version) (\(error)): are these this installation's keys?"
        case .wrongHalves(let kid): "the halves of signing key \(kid) do not belong together"
        case .noSigner: "no signing key is active"
        }
    }
}
