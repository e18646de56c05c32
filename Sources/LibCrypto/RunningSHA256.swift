import CLibCrypto

/// SHA-256 (FIPS 180-4) over bytes that come piece by piece, for one task.
package final class RunningSHA256 {
    private let context: OpaquePointer

    package init() {
        // Only a lack of memory fails here and below; a digest of less than all bytes would pass for a real one.
        guard let context = EVP_MD_CTX_new(),
            EVP_DigestInit_ex2(context, FetchedAlgorithm.sha256.pointer, nil) == 1
        else { preconditionFailure("SHA-256 failed") }
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    package func update(_ bytes: ArraySlice<UInt8>) {
        let done = bytes.withUnsafeBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        precondition(done == 1, "SHA-256 failed")
    }

    /// The 32 bytes of the digest over all that came, and begins anew.
    package func finish() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: SHA256.byteCount)
        let done = EVP_DigestFinal_ex(context, &digest, nil)
        precondition(
            done == 1 && EVP_DigestInit_ex2(context, FetchedAlgorithm.sha256.pointer, nil) == 1, "SHA-256 failed")
        return digest
    }
}
