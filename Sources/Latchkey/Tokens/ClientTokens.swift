package import JOSE

/// Client credentials (RFC 6749 §4.4): a client gets an access token for itself, and no refresh token. Its `sub` is the
/// client's id, its `sid` the client's epoch, so that one entry of the revocation list ends every token that the client
/// holds.
package struct ClientTokens: Sendable {
    private let clients: Clients
    private let issuer: TokenIssuer
    private let revocations: RevocationList
    private let audience: String
    private let resources: [String]

    package init(
        _ clients: Clients, issuer: TokenIssuer, revocations: RevocationList, audience: String, resources: [String]
    ) {
        self.clients = clients
        self.issuer = issuer
        self.revocations = revocations
        self.audience = audience
        self.resources = resources
    }

    package struct Answer: Sendable {
        package let accessToken: String
        /// Seconds.
        package let expiresIn: Int64
        package let scopes: [String]

        /// RFC 6749 §4.4.3.
        package var json: JSONValue {
            .object(
                JSONObject([
                    ("access_token", .string(accessToken)), ("token_type", "Bearer"),
                    ("expires_in", .integer(expiresIn)),
                    ("scope", scopes.isEmpty ? nil : .string(scopes.joined(separator: " "))),
                ]))
        }
    }

    /// One statement reads, under the client's lock, all that decides: status, secrets, grant types, scopes, epoch, clock
    /// and the key ring's version. Whatever ends the client's tokens comes before it, and is seen, or after it, and lists
    /// the epoch that this token carries.
    ///
    /// - Throws: `Rejection.invalidClient`, also for a client that shows no secret; `.unauthorizedClient`,
    ///   `.invalidScope`, `.invalidTarget`; `.unavailable` where this node cannot know.
    package func grant(_ claim: ClaimedClient, scope: String?, resources asked: [String]) async throws -> Answer {
        guard claim.secret != nil else { throw Rejection.invalidClient }
        guard revocations.isFresh else { throw Rejection.unavailable(retryAfter: 1) }
        let client = try await clients.authenticateToMint(claim)
        guard client.grantTypes.contains(.clientCredentials) else { throw Rejection.unauthorizedClient }
        let scopes = try client.granted(scope)
        let audience = try Audience.requested(asked, default: audience, others: resources)
        let token = try await issuer.sign(
            Grant(
                subject: claim.id, clientID: claim.id, sessionID: client.epoch, authenticatedAt: nil, scopes: scopes,
                roles: [], audience: audience, issuedAt: client.now, keyRingVersion: client.keyRingVersion,
                algorithm: client.accessTokenAlgorithm))
        return Answer(accessToken: token, expiresIn: issuer.lifetime, scopes: scopes)
    }
}
