import CLibCrypto

/// Between the two forms of an ECDSA signature on P-256: OpenSSL speaks DER, JWS speaks r || s, 32 bytes each
/// (RFC 7518 §3.4).
enum ECDSASignature {
    static let coordinateByteCount = 32

    /// r || s from DER.
    static func raw(fromDER der: [UInt8]) throws(CryptoError) -> [UInt8] {
        let signature = der.withUnsafeBufferPointer { buffer in
            var start = buffer.baseAddress
            return d2i_ECDSA_SIG(nil, &start, buffer.count)
        }
        guard let signature else { throw .clearingQueue(.failed) }
        defer { ECDSA_SIG_free(signature) }
        let size = Int32(coordinateByteCount)
        var r = [UInt8](repeating: 0, count: coordinateByteCount)
        var s = r
        guard BN_bn2binpad(ECDSA_SIG_get0_r(signature), &r, size) == size,
            BN_bn2binpad(ECDSA_SIG_get0_s(signature), &s, size) == size
        else { throw .clearingQueue(.failed) }
        return r + s
    }

    /// DER from r || s; nil where the length is wrong.
    static func der(fromRaw raw: [UInt8]) -> [UInt8]? {
        guard raw.count == 2 * coordinateByteCount, let signature = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(signature) }
        let numbers = raw.withUnsafeBufferPointer { buffer in
            (
                BN_bin2bn(buffer.baseAddress, Int32(coordinateByteCount), nil),
                BN_bin2bn(buffer.baseAddress?.advanced(by: coordinateByteCount), Int32(coordinateByteCount), nil)
            )
        }
        guard let r = numbers.0, let s = numbers.1, ECDSA_SIG_set0(signature, r, s) == 1 else {
            BN_free(numbers.0)
            BN_free(numbers.1)
            return nil
        }
        let count = i2d_ECDSA_SIG(signature, nil)
        guard count > 0 else { return nil }
        var der = [UInt8](repeating: 0, count: Int(count))
        let written = der.withUnsafeMutableBufferPointer { buffer in
            var start = buffer.baseAddress
            return i2d_ECDSA_SIG(signature, &start)
        }
        return written == count ? der : nil
    }
}
