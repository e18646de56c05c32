import CLibCrypto

/// A private key that signs by one algorithm, for ever. Any number of threads may sign with it at once.
package final class PrivateKey: Sendable {
    package let algorithm: SignatureAlgorithm
    /// The other half.
    package let publicKey: PublicKey
    private let handle: KeyHandle
    private let prepared: PreparedContext

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
        // A key whose halves differ would publish a key that verifies nothing; a damaged RSA prime would leak the other.
        let probe = Array("latchkey".utf8)
        guard let signature = try? sign(probe), publicKey.verify(signature, of: probe) else { throw .malformedKey }
    }

    private init(_ handle: KeyHandle, _ algorithm: SignatureAlgorithm) throws(CryptoError) {
        self.handle = handle
        self.algorithm = algorithm
        prepared = try PreparedContext(handle, algorithm, for: .signing)
        publicKey = try PublicKey(PublicKey.Components(of: handle, algorithm), algorithm: algorithm)
    }

    /// The key as unencrypted PKCS #8 in DER, to be sealed at once.
    package func pkcs8() throws(CryptoError) -> SecretBytes {
        guard let information = EVP_PKEY2PKCS8(handle.pointer) else { throw .clearingQueue(.failed) }
        // Wipes the encoded key as it frees it.
        defer { PKCS8_PRIV_KEY_INFO_free(information) }
        let count = i2d_PKCS8_PRIV_KEY_INFO(information, nil)
        guard count > 0 else { throw .clearingQueue(.failed) }
        return try SecretBytes(count: Int(count)) { (output) throws(CryptoError) in
            var position = output.octets
            guard i2d_PKCS8_PRIV_KEY_INFO(information, &position) == count else { throw .clearingQueue(.failed) }
        }
    }

    /// The signature of `message` as JWS has it: ES256 is r || s. RSA takes up to 1 ms: call it off the hot threads.
    package func sign(_ message: [UInt8]) throws(CryptoError) -> [UInt8] {
        // RSA of 2,048 bits signs in 256 bytes; no algorithm here in more than 1,024 (RSA of 8,192).
        var signature = [UInt8](repeating: 0, count: 1024)
        var count = signature.count
        let isSigned = prepared.use { context in
            EVP_DigestSign(context, &signature, &count, message, message.count) == 1
        }
        guard isSigned else { throw .clearingQueue(.failed) }
        signature.removeLast(signature.count - count)
        return algorithm == .es256 ? try ECDSASignature.raw(fromDER: signature) : signature
    }
}

extension PrivateKey: CustomStringConvertible, CustomReflectable {
    package var description: String { "****" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
