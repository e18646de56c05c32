import JOSE
import LatchkeyVerifier
import Postgres

/// Revoking by token: its shape decides. A refresh token ends its session, any of its tokens does; an access token's `jti`
/// goes on the list. `token_type_hint` is not needed (RFC 7009 §2.1 lets a server ignore it).
package struct TokenRevocation: Sendable {
    private let sessions: Sessions
    private let judge: TokenJudge
    private let revocations: RevocationList
    /// Seconds that a verifier's clock may be behind ours.
    private let leeway: Int64

    package init(_ sessions: Sessions, judge: TokenJudge, revocations: RevocationList, leeway: Int64) {
        self.sessions = sessions
        self.judge = judge
        self.revocations = revocations
        self.leeway = leeway
    }

    /// Returns once the token is refused on this node and the list holds it durably.
    /// - Parameter client: only where the token was issued to this one (RFC 7009 §2.1); nil: to anybody.
    /// - Throws: `Rejection.tokenOfAnotherClient`; `PostgresError` also where a key that is not known could not be looked for.
    /// - Returns: the list's position; nil where there was nothing to revoke: not our token, or expired (RFC 7009 §2.2).
    package func revoke(
        _ text: String, of client: String?, reason: String?, origin: Origin
    ) async throws -> FeedPosition? {
        if let token = try sessions.refreshToken(text) {
            return try await sessions.end(holding: token, of: client, cause: .revoked, reason: reason, origin: origin)
        }
        let token: AccessToken
        do {
            token = try await judge.recognise(text)
        } catch is TokenRejection {
            return nil
        }
        if let client, !token.clientID.isSameText(as: client) { throw Rejection.tokenOfAnotherClient }
        guard let now = revocations.clock.now() else { throw Rejection.unavailable(retryAfter: 1) }
        // Expired for every verifier, those with a slow clock too: no row.
        guard token.expiresAt + leeway > now.seconds else { return nil }
        return try await revocations.revoke(
            tokenID: token.tokenUniqueID, audit: .tokenRevoked(token: token.tokenID, reason: reason), origin: origin)
    }
}
