import CLibCrypto

/// Authenticated sealing by AES-256-GCM (NIST SP 800-38D).
///
///     sealed = nonce (12) || ciphertext || tag (16)
///
/// The nonce is random: one key may seal 2^32 messages (SP 800-38D §8.3), far more than an installation has secrets.
package enum AES256GCM {
    package static let keyByteCount = 32
    static let nonceByteCount = 12
    static let tagByteCount = 16

    /// Seals `plaintext` and binds it to `associatedData` (which row it belongs to), which is not part of the result.
    ///
    /// - Throws: `CryptoError.wrongLength` where the key is not 32 bytes.
    package static func seal(
        _ plaintext: SecretBytes, key: SecretBytes, associatedData: [UInt8]
    ) throws(CryptoError) -> [UInt8] {
        let nonce = SecureRandom.bytes(nonceByteCount)
        let context = try Context(key: key, nonce: nonce, direction: .seal)
        var ciphertext = [UInt8](repeating: 0, count: plaintext.count)
        var tag = [UInt8](repeating: 0, count: tagByteCount)
        let isSealed = ciphertext.withUnsafeMutableBytes { output in
            plaintext.withBytes { input in
                context.authenticate(associatedData) && context.process(input, into: output) && context.finish()
            }
        }
        guard isSealed,
            EVP_CIPHER_CTX_ctrl(context.pointer, EVP_CTRL_AEAD_GET_TAG, Int32(tag.count), &tag) == 1
        else { throw .clearingQueue(.failed) }
        return nonce + ciphertext + tag
    }

    /// Opens what `seal` made with the same key and associated data.
    ///
    /// - Throws: `CryptoError.notAuthentic` for anything else, `wrongLength` where the key is not 32 bytes.
    package static func open(
        _ sealed: [UInt8], key: SecretBytes, associatedData: [UInt8]
    ) throws(CryptoError) -> SecretBytes {
        guard sealed.count >= nonceByteCount + tagByteCount else { throw .notAuthentic }
        let ciphertext = sealed[nonceByteCount..<(sealed.count - tagByteCount)]
        var tag = Array(sealed.suffix(tagByteCount))
        let context = try Context(key: key, nonce: Array(sealed.prefix(nonceByteCount)), direction: .open)
        // The plaintext exists before its tag is checked; it leaves only after, else it is wiped with its storage.
        return try SecretBytes(count: ciphertext.count) { (output) throws(CryptoError) in
            let isAuthentic = ciphertext.withUnsafeBytes { input in
                context.authenticate(associatedData) && context.process(input, into: output)
                    && EVP_CIPHER_CTX_ctrl(context.pointer, EVP_CTRL_AEAD_SET_TAG, Int32(tag.count), &tag) == 1
                    && context.finish()
            }
            guard isAuthentic else { throw .clearingQueue(.notAuthentic) }
        }
    }

    /// One run of the cipher; wiped and freed with it.
    private final class Context {
        enum Direction: Int32 { case open, seal }

        let pointer: OpaquePointer

        init(key: SecretBytes, nonce: [UInt8], direction: Direction) throws(CryptoError) {
            guard key.count == keyByteCount else { throw .wrongLength }
            guard let context = EVP_CIPHER_CTX_new() else { throw .clearingQueue(.failed) }
            pointer = context
            let done = key.withBytes { key in
                EVP_CipherInit_ex2(
                    context, FetchedAlgorithm.aes256GCM.pointer, key.octets, nonce, direction.rawValue, nil)
            }
            guard done == 1 else { throw .clearingQueue(.failed) }
        }

        deinit { EVP_CIPHER_CTX_free(pointer) }

        func authenticate(_ associatedData: [UInt8]) -> Bool {
            var count: Int32 = 0
            return associatedData.isEmpty
                || EVP_CipherUpdate(pointer, nil, &count, associatedData, Int32(associatedData.count)) == 1
        }

        func process(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Bool {
            var count: Int32 = 0
            return input.isEmpty
                || EVP_CipherUpdate(pointer, output.octets, &count, input.octets, Int32(input.count)) == 1
                    && Int(count) == input.count
        }

        /// Ends the run: makes the tag when sealing, compares it when opening.
        func finish() -> Bool {
            var rest = [UInt8](repeating: 0, count: 16)
            var count: Int32 = 0
            return EVP_CipherFinal_ex(pointer, &rest, &count) == 1 && count == 0
        }
    }
}
