import JOSE
import LibCrypto
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
            var key = try PrivateKey.generate(algorithm)
            // One in 64 would have a `kid` that a shell's user types and every command takes for an option.
            while JSONWebKey.thumbprint(of: key.publicKey).utf8.first == UInt8(ascii: "-") {
                key = try PrivateKey.generate(algorithm)
            }
            try self.init(sealing: key, under: masterKeys)
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

    /// Opens the private half; one in a token is only named, and looked for when it signs. Throws as `unseal` does.
    func open(
        with masterKeys: MasterKeys, _ token: SecurityToken? = nil, among keys: [SigningKey] = []
    ) throws -> PrivateKey {
        if holder == .token {
            guard let token else { throw SigningKeyError.noToken(kid: kid) }
            return token.key(of: self)
        }
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

/// By HTTP a 503: another node may have what this one lacks, or this one in a moment.
package enum SigningKeyError: LoggableError, Sendable, CustomStringConvertible {
    case wiped(kid: String)
    case doesNotOpen(kid: String, SealFault)
    case wrongHalves(kid: String)
    case noToken(kid: String)
    case doesNotSign(kid: String)
    case notDestroyed(kid: String)
    case tokenOnly
    case tokenUnset
    case tokenSilent
    case noSigner
    case sealedTooLate(version: Int16)

    package var loggable: String { description }
    package var retryAfter: Int? { 5 }

    package var description: String {
        switch self {
        case .wiped(let kid): "the private half of signing key \(kid) has been wiped"
        case .doesNotOpen(let kid, let fault): "signing key \(kid) does not open: \(fault)"
        case .wrongHalves(let kid): "the halves of signing key \(kid) do not belong together"
        case .noToken(let kid): "signing key \(kid) is in a PKCS #11 token: set LATCHKEY_PKCS11_MODULE and its fellows"
        case .doesNotSign(let kid): "signing key \(kid) does not sign: does its PKCS #11 token answer?"
        case .notDestroyed(let kid):
            "signing key \(kid) was wiped here, but its PKCS #11 token did not destroy it: it is tried again within minutes"
        case .tokenOnly:
            "this installation makes its keys in a PKCS #11 token: none is taken that has been outside of it"
        case .tokenUnset:
            "the nodes make their keys in a PKCS #11 token: set LATCHKEY_PKCS11_MODULE and its fellows here as on them"
        case .tokenSilent: "the PKCS #11 token has not answered for two seconds"
        case .noSigner: "no signing key is active"
        case .sealedTooLate(let version):
            "master key \(version), under which the new signing key was sealed, has been retired or compromised meanwhile: "
                + "try again with the newest one in LATCHKEY_KEYS_DIR"
        }
    }
}
