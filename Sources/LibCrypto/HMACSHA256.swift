import CLibCrypto

/// HMAC-SHA-256 (RFC 2104, FIPS 198-1) for a key that is used once.
package enum HMACSHA256 {
    /// The 32 bytes of the authenticator. Who uses a key often keeps an `HMACSHA256Key`.
    package static func authenticate(_ message: [UInt8], key: SecretBytes) -> [UInt8] {
        HMACSHA256Key(key).authenticate(message)
    }
}

/// A key of HMAC-SHA-256 with both padded key blocks hashed already: each message costs a copy of that state.
///
/// Sendable: the context is written only in `init`; messages work on copies, which any thread may take at any time.
package final class HMACSHA256Key: @unchecked Sendable {
    private let prepared: OpaquePointer

    package init(_ key: SecretBytes) {
        // Only a lack of memory fails here.
        guard let context = EVP_MAC_CTX_new(FetchedAlgorithm.hmac.pointer) else { fatalError("HMAC failed") }
        prepared = context
        let done = key.withBytes { lk_hmac_sha256_init(context, $0.octets, $0.count) }
        // As here: any length of key is allowed. A context without its key would authenticate what anybody can forge.
        precondition(done == 1, "HMAC failed")
    }

    deinit { EVP_MAC_CTX_free(prepared) }

    /// The 32 bytes of the authenticator of `message`.
    package func authenticate(_ message: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: SHA256.byteCount)
        var count = 0
        let context = EVP_MAC_CTX_dup(prepared)
        defer { EVP_MAC_CTX_free(context) }
        // Only a lack of memory fails here; an authenticator of zeros would be one that anybody can forge.
        precondition(
            context != nil && EVP_MAC_update(context, message, message.count) == 1
                && EVP_MAC_final(context, &code, &count, code.count) == 1 && count == code.count,
            "HMAC failed")
        return code
    }
}
