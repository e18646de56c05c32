import CLibCrypto

/// A digest context with its key and algorithm set up, of which each signature and each verification takes a copy: setting
/// one up looks the algorithms up by name, under the library's locks.
///
/// Sendable: the context is written only in `init`; whoever signs or verifies works on a copy, which any thread may take at
/// any time.
final class PreparedContext: @unchecked Sendable {
    enum Use { case signing, verifying }

    private let pointer: OpaquePointer

    init(_ key: KeyHandle, _ algorithm: SignatureAlgorithm, for use: Use) throws(CryptoError) {
        guard let context = EVP_MD_CTX_new() else { throw .clearingQueue(.failed) }
        pointer = context
        var keyContext: OpaquePointer?
        let began =
            switch use {
            case .signing: EVP_DigestSignInit_ex(context, &keyContext, algorithm.digest, nil, nil, key.pointer, nil)
            case .verifying: EVP_DigestVerifyInit_ex(context, &keyContext, algorithm.digest, nil, nil, key.pointer, nil)
            }
        guard began == 1, algorithm.configure(keyContext) else { throw .clearingQueue(.failed) }
    }

    deinit {
        EVP_MD_CTX_free(pointer)
    }

    /// Runs `body` on a copy. False where there is no memory for one.
    func use(_ body: (OpaquePointer) -> Bool) -> Bool {
        guard let copy = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(copy) }
        guard EVP_MD_CTX_copy_ex(copy, pointer) == 1 else { return false }
        // It is used once: OpenSSL need not copy it again so that more could be digested behind the end.
        EVP_MD_CTX_set_flags(copy, EVP_MD_CTX_FLAG_FINALISE)
        return body(copy)
    }
}
