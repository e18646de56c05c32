import CPKCS11

// PKCS11: private keys that never leave a PKCS #11 token (OASIS PKCS #11 2.40): a hardware security module, a smart card,
// or SoftHSM. The only room that sees the C interface. It knows nothing of JSON, tables or settings.

/// Why a token could not be used. Holds neither PIN nor key: safe to log.
package enum SecurityTokenError: Error, Equatable, CustomStringConvertible {
    /// The file is no PKCS #11 module that can be loaded.
    case notAModule(path: String)
    case noToken(label: String)
    case severalTokens(label: String)
    /// A PIN that was refused is not tried again by this process: a few wrong ones lock a token for good.
    case pinRefused(code: UInt)
    /// The token makes no keys for the algorithm.
    case unsupported(String)
    /// No private key, or more than one, with this id.
    case noKey
    /// What the token made is no key.
    case malformedKey
    /// A call failed; `code` is its `CKR_…`.
    case failed(code: UInt)

    package var description: String {
        switch self {
        case .notAModule(let path): "\(path) is no PKCS #11 module that can be loaded"
        case .noToken(let label): "no token with the label \(label) is there"
        case .severalTokens(let label): "more than one token has the label \(label)"
        case .pinRefused(let code):
            "the token refused the PIN (0x\(String(code, radix: 16))): it is not tried again, lest it locks the token"
        case .unsupported(let algorithm): "the token makes no keys for \(algorithm)"
        case .noKey: "the token does not hold the key"
        case .malformedKey: "the token made something that is no key"
        case .failed(let code): "the token failed (CKR 0x\(String(code, radix: 16)))"
        }
    }
}
