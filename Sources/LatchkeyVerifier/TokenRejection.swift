/// Why a token was not accepted. The program needs one answer (401); the reason is for the operator. Holds nothing of
/// the token: safe to log, and to count by `rawValue`, which is stable.
public enum TokenRejection: String, Error, Sendable, CaseIterable, CustomStringConvertible {
    /// No JWS in strict compact form, or its header is not one of ours.
    case malformed
    /// `typ` is not `at+jwt` (RFC 9068 §4): an ID token or any other JWT of the same issuer.
    case wrongType = "wrong_type"
    /// No key is known by the token's `kid`.
    case unknownKey = "unknown_key"
    /// The token's `alg` is not the key's.
    case wrongAlgorithm = "wrong_algorithm"
    case badSignature = "bad_signature"
    /// Signed by us, yet a claim is missing, of a wrong type or not canonical.
    case malformedClaims = "malformed_claims"
    case wrongIssuer = "wrong_issuer"
    /// Meant for another service.
    case wrongAudience = "wrong_audience"
    case expired
    /// `iat` lies more than the leeway ahead: this verifier's clock or the issuer's is wrong.
    case issuedInFuture = "issued_in_future"
    /// Its `jti`, `sid` or `kid` stands in the revocation list.
    case revoked
    /// The verifier cannot prove that its revocation list is fresh enough, and was told to refuse then.
    case stale

    public var description: String {
        switch self {
        case .malformed: "not a well-formed signed token"
        case .wrongType: "not an access token"
        case .unknownKey: "signed by an unknown key"
        case .wrongAlgorithm: "the algorithm is not the key's"
        case .badSignature: "the signature does not verify"
        case .malformedClaims: "a claim is missing or malformed"
        case .wrongIssuer: "from another issuer"
        case .wrongAudience: "for another audience"
        case .expired: "expired"
        case .issuedInFuture: "issued in the future"
        case .revoked: "revoked"
        case .stale: "the revocation list may be out of date"
        }
    }
}
