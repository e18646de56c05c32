import CLibCrypto

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
    package static let byteCount = 32

    /// The 32 bytes of the digest.
    package static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: byteCount)
        let done = EVP_Digest(bytes, bytes.count, &digest, nil, FetchedAlgorithm.sha256.pointer, nil)
        // Only a lack of memory fails here; a digest of zeros would pass for a real one.
        precondition(done == 1, "SHA-256 failed")
        return digest
    }

    /// The same of bytes that lie in pieces, one behind the other.
    package static func digest(of pieces: [[UInt8]]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: byteCount)
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var done = EVP_DigestInit_ex(context, FetchedAlgorithm.sha256.pointer, nil)
        for piece in pieces { done &= EVP_DigestUpdate(context, piece, piece.count) }
        done &= EVP_DigestFinal_ex(context, &digest, nil)
        precondition(done == 1, "SHA-256 failed")
        return digest
    }
}
