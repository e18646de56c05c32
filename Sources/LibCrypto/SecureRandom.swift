import CLibCrypto

/// The operating system's randomness, by OpenSSL's generator.
package enum SecureRandom {
    /// `count` unpredictable bytes. A failing generator ends the process: nothing may go on with predictable ids or keys.
    package static func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        precondition(RAND_bytes(&bytes, Int32(count)) == 1, "the random generator failed")
        return bytes
    }

    /// `count` unpredictable bytes for a key.
    package static func secret(_ count: Int) -> SecretBytes {
        SecretBytes(count: count) { buffer in
            precondition(RAND_priv_bytes(buffer.octets, Int32(buffer.count)) == 1, "the random generator failed")
        }
    }
}
