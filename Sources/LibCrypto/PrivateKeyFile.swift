import CLibCrypto

/// Why the private key of a PEM file is not taken. Holds nothing of the file: safe to print.
package enum PrivateKeyFileError: Error, Equatable, CustomStringConvertible {
    /// A public key, a certificate, DER, or damaged.
    case noPrivateKey
    case severalPrivateKeys
    case needsPassphrase
    case wrongPassphrase
    /// DSA, RSA-PSS, X25519 and the like.
    case unsupportedKind
    case unsupportedCurve
    /// The key is of another kind than the algorithm signs with.
    case wrongKind(SignatureAlgorithm)
    case rsaSize(bits: Int)
    case rsaExponent
    case rsaPrimeCount
    case rsaPrimes
    case rsaPrivateExponent
    case rsaKnownFlaw
    /// The parts do not belong together, or what should be a prime is none.
    case inconsistent

    package var description: String {
        switch self {
        case .noPrivateKey:
            "it holds no private key in PEM that can be read: PKCS #8 (BEGIN PRIVATE KEY), or the older RSA and EC forms"
        case .severalPrivateKeys: "it holds more than one private key: give one alone"
        case .needsPassphrase: "the key is encrypted: give its passphrase"
        case .wrongPassphrase: "the key does not open with this passphrase"
        case .unsupportedKind: "the key is of a kind that is not used here: take RSA, EC on P-256, or Ed25519"
        case .unsupportedCurve: "the key's curve is not P-256"
        case .wrongKind(let algorithm): "\(algorithm.rawValue) does not sign with a key of this kind"
        case .rsaSize(let bits): "the RSA key has \(bits) bits: 2048 to 8192 are taken"
        case .rsaExponent: "the RSA key's public exponent is even, below 65537, or of more than 8 bytes"
        case .rsaPrimeCount: "the RSA key has more than two primes"
        case .rsaPrimes: "the RSA key's primes differ too little or are of unequal size: it can be factored"
        case .rsaPrivateExponent: "the RSA key's private exponent is so short that it can be computed"
        case .rsaKnownFlaw: "the RSA key was made by a device that makes keys which can be factored (CVE-2017-15361)"
        case .inconsistent: "the key is damaged: its parts do not belong together"
        }
    }
}

extension PrivateKey {
    /// Reads and checks a private key that others made: PKCS #8 (RFC 5958), encrypted or not, or the older forms of RSA
    /// (RFC 8017 A.1.2) and EC (RFC 5915), in PEM (RFC 7468). Takes up to seconds for large RSA keys, whose primes are
    /// tested.
    ///
    /// - Parameters:
    ///   - passphrase: for an encrypted one; 1,024 bytes at most.
    ///   - algorithm: what it shall sign by; nil: RS256, ES256 or EdDSA, by its kind.
    package convenience init(
        pem: SecretBytes, passphrase: SecretBytes?, algorithm wanted: SignatureAlgorithm?
    ) throws(PrivateKeyFileError) {
        let handle = try Self.handle(pem, passphrase)
        defer { ERR_clear_error() }
        let algorithm = try Self.algorithm(of: handle, wanted)
        if case .rsa(let modulus, let exponent)? = try? PublicKey.Components(of: handle, algorithm) {
            try Self.check(handle, modulus: modulus, exponent: exponent)
        }
        guard lk_is_consistent(handle.pointer) == 1 else { throw .inconsistent }
        do throws(CryptoError) {
            try self.init(handle, algorithm)
        } catch {
            throw .inconsistent
        }
        guard isWhole else { throw .inconsistent }
    }

    private static func handle(
        _ pem: SecretBytes, _ passphrase: SecretBytes?
    ) throws(PrivateKeyFileError) -> KeyHandle {
        switch pem.withBytes({ privateKeyCount($0) }) {
        case 0: throw .noPrivateKey
        case 1: break
        default: throw .severalPrivateKeys
        }
        func read(_ phrase: UnsafeRawBufferPointer?) -> (key: OpaquePointer?, isAsked: Bool) {
            var told = lk_passphrase(bytes: phrase?.baseAddress, count: phrase?.count ?? 0, is_asked: 0)
            let key = pem.withBytes { lk_private_key_from_pem($0.baseAddress, $0.count, &told) }
            return (key, told.is_asked == 1)
        }
        let (key, isAsked) = passphrase.map { $0.withBytes { read($0) } } ?? read(nil)
        guard let handle = KeyHandle(owning: key) else {
            ERR_clear_error()
            guard isAsked else { throw .noPrivateKey }
            throw passphrase == nil ? .needsPassphrase : .wrongPassphrase
        }
        return handle
    }

    /// How many private keys the text begins.
    private static func privateKeyCount(_ text: UnsafeRawBufferPointer) -> Int {
        text.split(separator: UInt8(ascii: "\n")).count { line in
            guard line.starts(with: "-----BEGIN ".utf8), let end = line.lastIndex(of: UInt8(ascii: "-")) else {
                return false
            }
            return line[...end].suffix(16).elementsEqual("PRIVATE KEY-----".utf8)
        }
    }

    private static func algorithm(
        of handle: KeyHandle, _ wanted: SignatureAlgorithm?
    ) throws(PrivateKeyFileError) -> SignatureAlgorithm {
        let own = SignatureAlgorithm.allCases.first { EVP_PKEY_is_a(handle.pointer, $0.keyType) == 1 }
        guard let own else { throw .unsupportedKind }
        let algorithm = wanted ?? own
        guard algorithm.keyType == own.keyType else { throw .wrongKind(algorithm) }
        if algorithm == .es256, EVP_PKEY_get_bits(handle.pointer) != 256 || !handle.isOnP256 { throw .unsupportedCurve }
        return algorithm
    }

    private static func check(
        _ handle: KeyHandle, modulus: [UInt8], exponent: [UInt8]
    ) throws(PrivateKeyFileError) {
        // The size first: testing the primes of an enormous key takes for ever.
        let bits = Int(EVP_PKEY_get_bits(handle.pointer))
        guard PublicKey.rsaBits.contains(bits) else { throw .rsaSize(bits: bits) }
        guard PublicKey.isUsable(exponent: exponent) else { throw .rsaExponent }
        switch lk_find_rsa_weakness(handle.pointer) {
        case LK_RSA_SOUND: break
        case LK_RSA_MORE_PRIMES: throw .rsaPrimeCount
        case LK_RSA_PRIMES: throw .rsaPrimes
        case LK_RSA_EXPONENT: throw .rsaPrivateExponent
        default: throw .inconsistent
        }
        guard !hasKnownFlaw(modulus: modulus) else { throw .rsaKnownFlaw }
    }

    /// Whether an RSA modulus bears the mark of Infineon's flawed generator (Nemec et al., "The Return of Coppersmith's
    /// Attack", 2017, §3): its primes are powers of 65537 modulo a product of small primes, and so is the modulus. One
    /// of other makers passes for it once in 2²⁷.
    ///
    /// - Parameter modulus: big-endian.
    package static func hasKnownFlaw(modulus: [UInt8]) -> Bool {
        [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].allSatisfy { prime in
            let residue = modulus.reduce(0) { ($0 * 256 + Int($1)) % prime }
            var power = 1
            for _ in 1..<prime {
                if power == residue { return true }
                power = power * 65537 % prime
            }
            return false
        }
    }
}

extension KeyHandle {
    /// Whether an EC key names P-256 as its curve. Curves written out in full are not taken: one that differs in its
    /// generator alone would pass for it (CVE-2020-0601).
    fileprivate var isOnP256: Bool {
        var isExplicit: Int32 = 0
        guard EVP_PKEY_get_int_param(pointer, "decoded-from-explicit", &isExplicit) == 1, isExplicit == 0 else {
            return false
        }
        var name = [CChar](repeating: 0, count: 64)
        var count = 0
        guard EVP_PKEY_get_group_name(pointer, &name, name.count, &count) == 1 else { return false }
        return ["prime256v1", "P-256"].contains { name.prefix(count).elementsEqual($0.utf8.map { CChar($0) }) }
    }
}
