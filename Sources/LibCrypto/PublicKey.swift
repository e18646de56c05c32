import CLibCrypto

/// A public key that verifies by one algorithm, for ever: the algorithm is the key's, never the token's.
package final class PublicKey: Sendable {
    /// What a JWK is made of (RFC 7518 §6, RFC 8037 §2). Numbers are big-endian.
    package enum Components: Sendable, Equatable {
        /// Without leading zeros (RFC 7518 §6.3.1).
        case rsa(modulus: [UInt8], exponent: [UInt8])
        /// 32 bytes each (RFC 7518 §6.2.1).
        case p256(x: [UInt8], y: [UInt8])
        /// 32 bytes (RFC 8037 §2).
        case ed25519([UInt8])
    }

    package let algorithm: SignatureAlgorithm
    package let components: Components
    private let prepared: PreparedContext

    /// - Throws: `CryptoError.malformedKey` where the components are not a key, or of another kind than `algorithm` signs
    ///   with; `refusedKey` where RSA has less than 2,048 or more than 8,192 bits, an even modulus, or an exponent that is
    ///   even, below 65537 or above 8 bytes. (Large ones make each verification a denial of service.)
    package init(_ components: Components, algorithm: SignatureAlgorithm) throws(CryptoError) {
        let key: OpaquePointer?
        switch (components, algorithm) {
        case (.rsa(let modulus, let exponent), .rs256), (.rsa(let modulus, let exponent), .ps256):
            try Self.check(modulus: modulus, exponent: exponent)
            key = lk_rsa_public_key(modulus, modulus.count, exponent, exponent.count)
        case (.p256(let x, let y), .es256):
            guard x.count == ECDSASignature.coordinateByteCount, y.count == x.count else { throw .malformedKey }
            // OpenSSL refuses a point that is not on the curve (invalid-curve attack).
            key = lk_p256_public_key([4] + x + y, 1 + x.count + y.count)
        case (.ed25519(let bytes), .edDSA):
            guard bytes.count == 32 else { throw .malformedKey }
            key = EVP_PKEY_new_raw_public_key_ex(nil, algorithm.keyType, nil, bytes, bytes.count)
        case (.rsa, _), (.p256, _), (.ed25519, _):
            throw .malformedKey
        }
        guard let handle = KeyHandle(owning: key) else { throw .clearingQueue(.malformedKey) }
        prepared = try PreparedContext(handle, algorithm, for: .verifying)
        self.components = components
        self.algorithm = algorithm
    }

    /// Whether `signature`, in the form of JWS, is this key's for `message`.
    package func verify(_ signature: [UInt8], of message: [UInt8]) -> Bool { verify(signature, of: message[...]) }

    /// The same where the message is a part of something: it is not copied.
    package func verify(_ signature: [UInt8], of message: ArraySlice<UInt8>) -> Bool {
        let encoded: [UInt8]
        if algorithm == .es256 {
            guard let der = ECDSASignature.der(fromRaw: signature) else { return false }
            encoded = der
        } else {
            encoded = signature
        }
        let isValid = prepared.use { context in
            message.withUnsafeBufferPointer { message in
                EVP_DigestVerify(context, encoded, encoded.count, message.baseAddress, message.count) == 1
            }
        }
        if !isValid { ERR_clear_error() }
        return isValid
    }

    private static func check(modulus: [UInt8], exponent: [UInt8]) throws(CryptoError) {
        // A leading zero would give the same key a second thumbprint.
        guard let first = modulus.first, first != 0, let last = modulus.last, let exponentFirst = exponent.first,
            exponentFirst != 0
        else { throw .malformedKey }
        let bitCount = modulus.count * 8 - first.leadingZeroBitCount
        guard rsaBits.contains(bitCount), last & 1 == 1, isUsable(exponent: exponent) else { throw .refusedKey }
    }

    /// Smaller ones can be factored; larger ones make each verification a denial of service.
    static let rsaBits = 2048...8192

    /// Small exponents have a history of forgeries (Bleichenbacher 2006), large ones cost.
    static func isUsable(exponent: [UInt8]) -> Bool {
        guard let last = exponent.last else { return false }
        return last & 1 == 1 && exponent.count <= 8
            && exponent.reduce(UInt64(0), { $0 << 8 | UInt64($1) }) >= 65537
    }
}

extension PublicKey.Components {
    /// Reads the public half of a key of `algorithm`'s kind.
    init(of handle: KeyHandle, _ algorithm: SignatureAlgorithm) throws(CryptoError) {
        switch algorithm {
        case .rs256, .ps256:
            self = .rsa(modulus: try handle.number("n"), exponent: try handle.number("e"))
        case .es256:
            // The names are OSSL_PKEY_PARAM_EC_PUB_X and _Y. A key of another curve has longer ones, or is refused as
            // a point that is not on P-256.
            let size = ECDSASignature.coordinateByteCount
            self = .p256(x: try handle.number("qx", byteCount: size), y: try handle.number("qy", byteCount: size))
        case .edDSA:
            var bytes = [UInt8](repeating: 0, count: 32)
            var count = bytes.count
            guard EVP_PKEY_get_raw_public_key(handle.pointer, &bytes, &count) == 1, count == bytes.count else {
                throw .clearingQueue(.malformedKey)
            }
            self = .ed25519(bytes)
        }
    }
}
