import CLibCrypto

/// Owns one `EVP_PKEY`.
///
/// Sendable: the key is never changed after it was made, its count is atomic, and OpenSSL guards RSA's blinding by a lock.
final class KeyHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    /// Takes the key over. Nil stays nil, so that a refusal of OpenSSL's is handled where it is understood.
    init?(owning pointer: OpaquePointer?) {
        guard let pointer else { return nil }
        self.pointer = pointer
    }

    deinit { EVP_PKEY_free(pointer) }

    /// The number named `name`, big-endian, left-padded with zeros to `byteCount` where that is given.
    func number(_ name: String, byteCount: Int? = nil) throws(CryptoError) -> [UInt8] {
        var number: OpaquePointer?
        guard EVP_PKEY_get_bn_param(pointer, name, &number) == 1, let number else {
            throw .clearingQueue(.malformedKey)
        }
        defer { BN_free(number) }
        var bytes = [UInt8](repeating: 0, count: byteCount ?? Int(BN_num_bits(number) + 7) / 8)
        guard BN_bn2binpad(number, &bytes, Int32(bytes.count)) == bytes.count else {
            throw .clearingQueue(.malformedKey)
        }
        return bytes
    }
}
