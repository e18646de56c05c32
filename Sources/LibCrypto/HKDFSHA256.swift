import CLibCrypto

/// HKDF with SHA-256 (RFC 5869), extract and expand in one.
package enum HKDFSHA256 {
    /// The longest output: 255 blocks (RFC 5869 §2.3).
    package static let maximumByteCount = 255 * SHA256.byteCount

    /// Derives `count` bytes for the purpose that `label` names, so that one master key serves many purposes and none
    /// of the derived keys tells of another.
    ///
    /// - Throws: `CryptoError.wrongLength` where `count` is not in 1...8160 or the key is empty.
    package static func derive(
        from key: SecretBytes, salt: [UInt8], label: String, count: Int
    ) throws(CryptoError) -> SecretBytes {
        try derive(from: key, salt: salt, info: Array(label.utf8), count: count)
    }

    /// The same with `info` as bytes, for labels that are not text.
    package static func derive(
        from key: SecretBytes, salt: [UInt8], info: [UInt8], count: Int
    ) throws(CryptoError) -> SecretBytes {
        guard 1...maximumByteCount ~= count, key.count > 0 else { throw .wrongLength }
        return try SecretBytes(count: count) { (output) throws(CryptoError) in
            let done = key.withBytes { key in
                lk_hkdf_sha256(
                    FetchedAlgorithm.hkdf.pointer, key.baseAddress, key.count, salt, salt.count, info, info.count,
                    output.octets, output.count)
            }
            guard done == 1 else { throw .clearingQueue(.failed) }
        }
    }
}
