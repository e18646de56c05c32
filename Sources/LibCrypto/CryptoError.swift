import CLibCrypto

// LibCrypto: keys, signatures, digests, authentication, derivation, sealing and random bytes, by OpenSSL 3's EVP
// interface. The only room that sees OpenSSL: no pointer of its leaves this folder. It knows nothing of tokens or JSON.

/// Why a cryptographic operation was refused or failed. Holds no key, no message, no text of OpenSSL's: safe to log.
package enum CryptoError: Error, Equatable, CustomStringConvertible {
    /// A key, a nonce or a wanted output has a length that the algorithm does not allow.
    case wrongLength
    /// The bytes are not a key of the wanted kind.
    case malformedKey
    /// A key that is well formed but too weak or too costly: RSA outside 2,048 to 8,192 bits, an even or small exponent.
    case refusedKey
    /// Sealed bytes that were truncated, tampered with, or sealed with another key or other associated data.
    case notAuthentic
    /// The token that holds the private key does not answer, or does not let this process use it.
    case unreachable
    /// The private key does not leave the token that holds it.
    case heldElsewhere
    /// OpenSSL failed where correct input cannot make it fail: no memory, no provider.
    case failed

    package var description: String {
        switch self {
        case .wrongLength: "a key or an output has a length that the algorithm does not allow"
        case .malformedKey: "not a well-formed key of the wanted algorithm"
        case .refusedKey: "the key is too weak or too large"
        case .notAuthentic: "the sealed bytes are not authentic"
        case .unreachable: "what holds the private key cannot be used now"
        case .heldElsewhere: "the private key does not leave what holds it"
        case .failed: "the cryptographic library failed"
        }
    }

    /// The error itself, after emptying the thread's OpenSSL error queue: what stays there would be read as the cause
    /// of the next, unrelated failure on this thread (libpq's TLS reads the same queue).
    static func clearingQueue(_ error: CryptoError) -> CryptoError {
        ERR_clear_error()
        return error
    }
}

/// An algorithm fetched once for the life of the process: an implicit fetch at each call costs more than a short digest.
///
/// Sendable: a fetched `EVP_MD`, `EVP_CIPHER`, `EVP_MAC` or `EVP_KDF` is immutable and counted atomically.
struct FetchedAlgorithm: @unchecked Sendable {
    let pointer: OpaquePointer

    static let sha256 = FetchedAlgorithm(EVP_MD_fetch(nil, "SHA256", nil))
    static let hmac = FetchedAlgorithm(EVP_MAC_fetch(nil, "HMAC", nil))
    static let hkdf = FetchedAlgorithm(EVP_KDF_fetch(nil, "HKDF", nil))
    static let aes256GCM = FetchedAlgorithm(EVP_CIPHER_fetch(nil, "AES-256-GCM", nil))

    private init(_ fetched: OpaquePointer?) {
        // Nothing at all could be sealed, signed or compared: no caller has another way.
        guard let fetched else { fatalError("OpenSSL's default provider lacks an algorithm that Latchkey needs") }
        pointer = fetched
    }
}
