import JOSE

/// Verifies access tokens of one issuer for one audience, without I/O.
public struct TokenVerifier: Sendable {
    private let issuer: String
    private let audiences: [String]
    private let leeway: Int64

    /// What `verify` looks at.
    package enum Checks: Sendable {
        /// All of it: the token may be acted on.
        case everything
        /// All but expiry and the revocation of `jti` and `sid`: the token is ours, though perhaps of the past. For
        /// revoking it (RFC 7009 §2.2: an expired token is no error), never for acting on it. A revoked key still
        /// counts: what a leaked key signed is not ours.
        case authenticityOnly
    }

    /// - Parameters:
    ///   - issuer: what `iss` must be, byte for byte.
    ///   - audience: what `aud` must hold, byte for byte.
    ///   - leeway: by how many seconds clocks may differ, 0 to 600.
    package init(issuer: String, audience: String, leeway: Int64) {
        self.init(issuer: issuer, anyAudienceOf: [audience], leeway: leeway)
    }

    /// For the issuer itself, which must recognise what it minted for any service.
    package init(issuer: String, anyAudienceOf audiences: [String], leeway: Int64) {
        // An empty audience would be one that nobody chose.
        precondition(
            !issuer.isEmpty && !audiences.isEmpty && !audiences.contains("") && 0...600 ~= leeway,
            "a verifier needs issuer and audience")
        self.issuer = issuer
        self.audiences = audiences
        self.leeway = leeway
    }

    /// Verifies `token` at `now` (seconds since 1970) against one snapshot of keys and revocations.
    ///
    /// The order is part of the contract: what costs little comes first, nothing in the payload is believed before the
    /// signature is, and a token of another issuer learns nothing of our revocations.
    ///
    /// - Throws: `TokenRejection`, the first reason found.
    package func verify(
        _ token: [UInt8], keys: VerificationKeys, revocations: some RevocationLookup, now: Int64,
        checking checks: Checks = .everything
    ) throws(TokenRejection) -> AccessToken {
        try verify(
            try Self.authenticate(token, keys: keys), revocations: revocations, now: now, checking: checks)
    }

    /// The first half: what the token says, once its signature is found to be one of `keys`'. It holds for as long as
    /// the key does, whatever the time and the revocation list.
    package static func authenticate(
        _ token: [UInt8], keys: VerificationKeys
    ) throws(TokenRejection) -> AuthenticToken {
        guard let jws = try? JSONWebSignature(parsing: token, known: keys.headers), let keyID = jws.keyID else {
            throw .malformed
        }
        guard jws.hasType(AccessTokenClaims.type) else { throw .wrongType }
        guard let key = keys[keyID] else { throw .unknownKey }
        do throws(JSONWebSignatureError) {
            try jws.verify(with: key)
        } catch {
            throw error == .wrongAlgorithm ? .wrongAlgorithm : .badSignature
        }
        guard let claims = try? AccessTokenClaims(parsing: jws.payload) else { throw .malformedClaims }
        return AuthenticToken(claims: claims, keyID: keyID)
    }

    /// The second half: whether an authentic token may be acted on now.
    package func verify(
        _ token: AuthenticToken, revocations: some RevocationLookup, now: Int64, checking checks: Checks = .everything
    ) throws(TokenRejection) -> AccessToken {
        let claims = token.claims
        guard claims.issuer.isSameText(as: issuer) else { throw .wrongIssuer }
        guard claims.audience.contains(where: { given in audiences.contains { $0.isSameText(as: given) } }) else {
            throw .wrongAudience
        }
        if checks == .everything, claims.expiresAt + leeway <= now { throw .expired }
        guard claims.issuedAt <= now + leeway else { throw .issuedInFuture }
        guard !revocations.contains(keyID: token.keyID) else { throw .revoked }
        if checks == .everything, revocations.contains(tokenID: claims.tokenID, sessionID: claims.sessionID) {
            throw .revoked
        }
        return AccessToken(claims: claims, keyID: token.keyID)
    }

    /// The same for a token as text.
    package func verify(
        _ token: String, keys: VerificationKeys, revocations: some RevocationLookup, now: Int64,
        checking checks: Checks = .everything
    ) throws(TokenRejection) -> AccessToken {
        try verify(Array(token.utf8), keys: keys, revocations: revocations, now: now, checking: checks)
    }
}
