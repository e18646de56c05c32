import CLibCrypto

/// A signature algorithm of JWS, by its `alg` value (RFC 7518 §3.1, RFC 8037 §3.1).
package enum SignatureAlgorithm: String, Sendable, CaseIterable {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    case rs256 = "RS256"
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, a salt of 32 bytes (RFC 7518 §3.5).
    case ps256 = "PS256"
    /// ECDSA on P-256 with SHA-256, the signature as r || s (RFC 7518 §3.4).
    case es256 = "ES256"
    /// Ed25519 (RFC 8032, RFC 8037 §3.1).
    case edDSA = "EdDSA"

    /// OpenSSL's name of the key type.
    var keyType: String {
        switch self {
        case .rs256, .ps256: "RSA"
        case .es256: "EC"
        case .edDSA: "ED25519"
        }
    }

    /// OpenSSL's name of the digest; nil where the algorithm brings its own.
    var digest: String? {
        switch self {
        case .rs256, .ps256, .es256: "SHA256"
        case .edDSA: nil
        }
    }

    /// Sets what the digest's name does not say: PSS, and a salt of exactly the digest's length on both sides (OpenSSL
    /// would else accept any salt).
    func configure(_ context: OpaquePointer?) -> Bool {
        guard self == .ps256 else { return true }
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1
    }
}
