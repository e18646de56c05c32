package import JOSE

// LatchkeyVerifier: verifies Latchkey's access tokens offline, in a resource service or in Latchkey itself. It owns the
// order of the checks, the verdicts, and the sets a verdict is made from. It reads no clock and no network here.

/// An access token whose signature, issuer, audience and times were verified and which is not revoked. Only a
/// `TokenVerifier` makes one. Times are seconds since 1970.
public struct AccessToken: Sendable {
    /// The user's id, or the client's where the client acts for itself.
    public var subject: String { claims.subject }
    public var clientID: String { claims.clientID }
    /// Whether the client acts for itself (RFC 6749 §4.4): no user stands behind the token.
    public var isClients: Bool { subject.isSameText(as: clientID) }
    /// `sid`: what a revocation of the session names.
    public var sessionID: String? { claims.sessionID?.text }
    /// `jti`: what a revocation of this token names.
    public var tokenID: String { claims.tokenID.text }
    public var audience: [String] { claims.audience }
    public var scopes: [String] { claims.scopes }
    public var roles: [String] { claims.roles }
    public var issuedAt: Int64 { claims.issuedAt }
    public var expiresAt: Int64 { claims.expiresAt }
    /// When the user last authenticated (`auth_time`).
    public var authenticatedAt: Int64? { claims.authenticatedAt }
    /// The `kid` of the key that signed it.
    public let keyID: String

    package var tokenUniqueID: UniqueID { claims.tokenID }
    package var sessionUniqueID: UniqueID? { claims.sessionID }
    private let claims: AccessTokenClaims

    init(claims: AccessTokenClaims, keyID: String) {
        self.claims = claims
        self.keyID = keyID
    }

    /// Whether the token carries `scope`, byte for byte. (`scopes.contains` would compare by canonical equivalence.)
    public func has(scope: String) -> Bool { scopes.contains { $0.isSameText(as: scope) } }

    /// Whether the token carries `role`, byte for byte.
    public func has(role: String) -> Bool { roles.contains { $0.isSameText(as: role) } }
}
