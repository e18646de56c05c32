import JOSE
package import LibCrypto
import PKCS11

/// A key just made, its private half in the installation's token, or sealed under the current master key: AES-256-GCM,
/// bound by its associated data to `kid` and algorithm, so that no blob opens in another row's place.
package struct NewSigningKey: Sendable {
    let publicKey: JSONWebKey
    /// nil where a token holds it.
    let sealed: [UInt8]?
    let holder: KeyHolder
    let masterKeyVersion: Int16

    package var kid: String { publicKey.keyID }

    /// Takes tens of milliseconds, sometimes much more (RSA primes), a token up to a minute: off the cooperative threads.
    ///
    /// - Parameter token: where it shall be made and stay.
    init(_ algorithm: SignatureAlgorithm, under masterKeys: MasterKeys, in token: SecurityToken? = nil) throws {
        if let token {
            self.init(inToken: try token.newKey(algorithm).publicKey, masterKeyVersion: masterKeys.current)
        } else {
            try self.init(sealing: try PrivateKey.generate(algorithm), under: masterKeys)
        }
    }

    private init(inToken key: PublicKey, masterKeyVersion: Int16) {
        publicKey = JSONWebKey(key)
        self.masterKeyVersion = masterKeyVersion
        holder = .token
        sealed = nil
    }

    /// A key that is there already.
    init(sealing key: PrivateKey, under masterKeys: MasterKeys) throws {
        let algorithm = key.algorithm
        publicKey = JSONWebKey(key.publicKey)
        masterKeyVersion = masterKeys.current
        holder = .database
        sealed = try AES256GCM.seal(
            try key.pkcs8(), key: try masterKeys.sealingKey(version: masterKeyVersion),
            associatedData: Self.associatedData(kid: publicKey.keyID, algorithm: algorithm))
    }

    static func associatedData(kid: String, algorithm: SignatureAlgorithm) -> [UInt8] {
        Array("signing-key\n\(kid)\n\(algorithm.rawValue)".utf8)
    }
}

extension SigningKey {
    /// Opens the private half; one in a token is only named, and looked for when it signs.
    func open(with masterKeys: MasterKeys, _ token: SecurityToken? = nil) throws -> PrivateKey {
        if holder == .token {
            guard let token else { throw SigningKeyError.noToken(kid: kid) }
            return token.key(of: self)
        }
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
    case noToken(kid: String)
    case doesNotSign(kid: String)
    case notDestroyed(kid: String)
    case tokenOnly
    case noSigner

    package var description: String {
        switch self {
        case .wiped(let kid): "the private half of signing key \(kid) has been wiped"
        case .doesNotOpen(let kid, let version, let error):
            "signing key \(kid) does not open with master key \(version) (\(error)): are these this installation's keys?"
        case .wrongHalves(let kid): "the halves of signing key \(kid) do not belong together"
        case .noToken(let kid): "signing key \(kid) is in a PKCS #11 token: set LATCHKEY_PKCS11_MODULE and its fellows"
        case .doesNotSign(let kid): "signing key \(kid) does not sign: does its PKCS #11 token answer?"
        case .notDestroyed(let kid):
            "signing key \(kid) was wiped here, but its PKCS #11 token did not destroy it: delete it there by its CKA_ID"
        case .tokenOnly:
            "this installation makes its keys in a PKCS #11 token: none is taken that has been outside of it"
        case .noSigner: "no signing key is active"
        }
    }
}
