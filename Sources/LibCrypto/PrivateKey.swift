import CLibCrypto

/// A private key that signs by one algorithm, for ever. Any number of threads may sign with it at once.
package final class PrivateKey: Sendable {
    /// The other half.
    package let publicKey: PublicKey
    private let half: any PrivateHalf

    /// Makes a new key: RSA of 2,048 bits with the exponent 65537, P-256, or Ed25519. RSA takes 50 to 500 ms.
    package static func generate(_ algorithm: SignatureAlgorithm) throws(CryptoError) -> PrivateKey {
        guard let context = EVP_PKEY_CTX_new_from_name(nil, algorithm.keyType, nil) else {
            throw .clearingQueue(.failed)
        }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1 else { throw .clearingQueue(.failed) }
        switch algorithm {
        case .rs256, .ps256:
            // The exponent is 65537 unless told otherwise (EVP_PKEY_CTX_set1_rsa_keygen_pubexp(3)).
            guard EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048) == 1 else { throw .clearingQueue(.failed) }
        case .es256:
            guard EVP_PKEY_CTX_set_group_name(context, "P-256") == 1 else { throw .clearingQueue(.failed) }
        case .edDSA:
            break
        }
        guard EVP_PKEY_generate(context, &key) == 1, let handle = KeyHandle(owning: key) else {
            throw .clearingQueue(.failed)
        }
        return try PrivateKey(handle, algorithm)
    }

    /// Reads an unencrypted PKCS #8 `PrivateKeyInfo` (RFC 5208 §5) in DER.
    ///
    /// - Throws: `CryptoError.malformedKey` for anything else, another kind of key, trailing bytes, or two halves that
    ///   do not belong together; `refusedKey` as `PublicKey.init`.
    package convenience init(pkcs8 der: SecretBytes, algorithm: SignatureAlgorithm) throws(CryptoError) {
        let key: OpaquePointer? = der.withBytes { bytes in
            var position = bytes.octets
            let information = d2i_PKCS8_PRIV_KEY_INFO(nil, &position, bytes.count)
            defer { PKCS8_PRIV_KEY_INFO_free(information) }
            guard let information, position == bytes.octets?.advanced(by: bytes.count) else { return nil }
            return EVP_PKCS82PKEY(information)
        }
        guard let handle = KeyHandle(owning: key), EVP_PKEY_is_a(handle.pointer, algorithm.keyType) == 1 else {
            throw .clearingQueue(.malformedKey)
        }
        try self.init(handle, algorithm)
        guard isWhole else { throw .malformedKey }
    }

    convenience init(_ handle: KeyHandle, _ algorithm: SignatureAlgorithm) throws(CryptoError) {
        let components = try PublicKey.Components(of: handle, algorithm)
        self.init(
            try PublicKey(components, algorithm: algorithm), half: try KeyInMemory(handle, algorithm))
    }

    /// A key whose private half is `half`: it signs by the algorithm of `publicKey`, which belongs to it.
    package init(_ publicKey: PublicKey, half: any PrivateHalf) {
        self.publicKey = publicKey
        self.half = half
    }

    package var algorithm: SignatureAlgorithm { publicKey.algorithm }

    /// Whether what it signs verifies with its public half. A key whose halves differ would publish a key that verifies
    /// nothing; the signatures of a damaged RSA prime would give the other one away.
    package var isWhole: Bool {
        let probe = Array("latchkey".utf8)
        guard let signature = try? half.sign(probe) else { return false }
        return publicKey.verify(signature, of: probe)
    }

    /// The key as unencrypted PKCS #8 in DER, to be sealed at once.
    ///
    /// - Throws: `CryptoError.heldElsewhere` where it is in a token.
    package func pkcs8() throws(CryptoError) -> SecretBytes { try half.pkcs8() }

    /// The signature of `message` as JWS has it: ES256 is r || s. RSA takes up to 1 ms, a token a round trip: call it off
    /// the hot threads.
    ///
    /// - Throws: `CryptoError.unreachable` where the token that holds the key does not answer, `.failed`.
    package func sign(_ message: [UInt8]) throws(CryptoError) -> [UInt8] { try half.sign(message) }
}

extension PrivateKey: CustomStringConvertible, CustomReflectable {
    package var description: String { "****" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
