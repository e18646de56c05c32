import CLibCrypto

/// A private half in this process's memory: OpenSSL signs with it.
final class KeyInMemory: PrivateHalf {
    private let handle: KeyHandle
    private let prepared: PreparedContext
    private let algorithm: SignatureAlgorithm

    init(_ handle: KeyHandle, _ algorithm: SignatureAlgorithm) throws(CryptoError) {
        self.handle = handle
        self.algorithm = algorithm
        prepared = try PreparedContext(handle, algorithm, for: .signing)
    }

    func pkcs8() throws(CryptoError) -> SecretBytes {
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

    func sign(_ message: [UInt8]) throws(CryptoError) -> [UInt8] {
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
