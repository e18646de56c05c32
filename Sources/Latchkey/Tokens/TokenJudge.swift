import JOSE
package import LatchkeyVerifier
import Postgres

/// Judges access tokens on this node, by the same verifier that resource services use, with this node's keys, revocation
/// list and clock.
package struct TokenJudge: Sendable {
    private let ring: KeyRing
    private let revocations: RevocationList
    private let clock: NodeClock
    private let ownAPI: TokenVerifier
    private let anyAudience: TokenVerifier
    private let seen = AuthenticTokens()

    /// Seconds. One clock serves all nodes; this is for the drift between two ticks at a second's border.
    private static let leeway: Int64 = 1

    /// - Parameter audiences: every audience that this installation mints for.
    package init(
        ring: KeyRing, revocations: RevocationList, clock: NodeClock, issuer: String, audiences: [String]
    ) {
        self.ring = ring
        self.revocations = revocations
        self.clock = clock
        // Our own API: the token's `aud` must hold the issuer.
        ownAPI = TokenVerifier(issuer: issuer, audience: issuer, leeway: Self.leeway)
        anyAudience = TokenVerifier(
            issuer: issuer, anyAudienceOf: [issuer] + audiences, leeway: Self.leeway)
    }

    /// Whether the bearer may act on our own API.
    /// - Throws: `TokenRejection`; `Rejection.unavailable` where this node cannot prove that its list is fresh.
    package func admit(_ token: String) throws -> AccessToken {
        let (keys, now) = try ground()
        return try ownAPI.verify(
            try seen.authenticate(token, keys: keys), revocations: revocations, now: now)
    }

    /// Whether a token of any audience is alive (RFC 7662).
    package func inspect(_ token: String) throws -> AccessToken {
        try judge(token, by: anyAudience, checking: .everything)
    }

    /// Whether we issued it, alive or not (RFC 7009). Another node may sign by a key that this one has not read yet: what is
    /// not recognised is not revoked, and its holder is told that it was.
    package func recognise(_ token: String) async throws -> AccessToken {
        do {
            return try judge(token, by: anyAudience, checking: .authenticityOnly)
        } catch TokenRejection.unknownKey {
            try await ring.readAgain()
            return try judge(token, by: anyAudience, checking: .authenticityOnly)
        }
    }

    private func judge(_ token: String, by verifier: TokenVerifier, checking: TokenVerifier.Checks) throws
        -> AccessToken
    {
        let (keys, now) = try ground()
        return try verifier.verify(token, keys: keys, revocations: revocations, now: now, checking: checking)
    }

    /// What a verdict rests on: the keys, and the seconds since 1970.
    private func ground() throws -> (keys: VerificationKeys, now: Int64) {
        guard revocations.isFresh, let keys = ring.verificationKeys, let now = clock.now() else {
            throw Rejection.unavailable(retryAfter: 1)
        }
        return (keys, now.seconds)
    }
}
