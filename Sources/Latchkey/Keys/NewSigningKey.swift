import JOSE
import LibCrypto

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
    /// What the sealed half is bound to.
    var sealPlace: [UInt8] {
        NewSigningKey.associatedData(kid: kid, algorithm: publicKey.publicKey.algorithm)
    }

    /// The private half in PKCS #8.
    ///
    /// - Parameter keys: those that stand beside it, to tell by why it does not open.
    /// - Throws: `SigningKeyError`.
    func unseal(with masterKeys: MasterKeys, among keys: [SigningKey] = []) throws -> SecretBytes {
        guard let sealed else { throw SigningKeyError.wiped(kid: kid) }
        do {
            return try AES256GCM.open(
                sealed, key: try masterKeys.sealingKey(version: masterKeyVersion), associatedData: sealPlace)
        } catch {
            throw SigningKeyError.doesNotOpen(kid: kid, .diagnose(self, among: keys, with: masterKeys))
        }
    }

    /// Opens the private half. Throws as `unseal` does.
    func open(with masterKeys: MasterKeys, among keys: [SigningKey] = []) throws -> PrivateKey {
        let der = try unseal(with: masterKeys, among: keys)
        let key: PrivateKey
        do {
            key = try PrivateKey(pkcs8: der, algorithm: publicKey.publicKey.algorithm)
        } catch {
            throw SigningKeyError.doesNotOpen(kid: kid, .damaged(version: masterKeyVersion))
        }
        guard JSONWebKey.thumbprint(of: key.publicKey).isSameText(as: kid) else {
            throw SigningKeyError.wrongHalves(kid: kid)
        }
        return key
    }
}

package enum SigningKeyError: Error, Sendable, CustomStringConvertible {
    case wiped(kid: String)
    case doesNotOpen(kid: String, SealFault)
    case wrongHalves(kid: String)
    case noSigner

    package var description: String {
        switch self {
        case .wiped(let kid): "the private half of signing key \(kid) has been wiped"
        case .doesNotOpen(let kid, let fault): "signing key \(kid) does not open: \(fault)"
        case .wrongHalves(let kid): "the halves of signing key \(kid) do not belong together"
        case .noSigner: "no signing key is active"
        }
    }
}
