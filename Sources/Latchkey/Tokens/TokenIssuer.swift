package import JOSE
package import LibCrypto
package import Postgres

/// What a token is minted from: the row that a minting statement returned under the session's lock.
package struct Grant: Sendable {
    package let subject: String
    package let clientID: String
    package let sessionID: UniqueID?
    package let authenticatedAt: Instant?
    package let scopes: [String]
    package let roles: [String]
    package let audience: [String]
    /// The database's instant under the lock.
    package let issuedAt: Instant
    /// The key ring's version that the statement saw.
    package let keyRingVersion: Int64
    /// What the client wants; nil: the installation's.
    package let algorithm: SignatureAlgorithm?

    package init(
        subject: String, clientID: String, sessionID: UniqueID?, authenticatedAt: Instant?, scopes: [String],
        roles: [String], audience: [String], issuedAt: Instant, keyRingVersion: Int64, algorithm: SignatureAlgorithm?
    ) {
        self.subject = subject
        self.clientID = clientID
        self.sessionID = sessionID
        self.authenticatedAt = authenticatedAt
        self.scopes = scopes
        self.roles = roles
        self.audience = audience
        self.issuedAt = issuedAt
        self.keyRingVersion = keyRingVersion
        self.algorithm = algorithm
    }
}

/// Signs access tokens (RFC 9068). Nobody stores them.
package struct TokenIssuer: Sendable {
    private let ring: KeyRing
    private let use: KeyUse
    private let threads: SigningThreads
    private let tokenThreads: SigningThreads
    private let issuer: String
    /// Seconds.
    package let lifetime: Int64
    /// nil: tokens do not name their bit.
    private let statusLists: StatusListAddresses?

    /// - Parameter tokenThreads: for keys that a PKCS #11 token holds.
    package init(
        ring: KeyRing, use: KeyUse, threads: SigningThreads, tokenThreads: SigningThreads, issuer: String,
        lifetime: Int64, statusLists: StatusListAddresses?
    ) {
        self.ring = ring
        self.use = use
        self.threads = threads
        self.tokenThreads = tokenThreads
        self.issuer = issuer
        self.lifetime = lifetime
        self.statusLists = statusLists
    }

    /// `iat` is the statement's instant, rounded down, and `exp` follows from it however late this signs: a node that is
    /// frozen between commit and signature must not stretch a token beyond its revocation's expiry.
    package func sign(_ grant: Grant) async throws -> String {
        let (kid, key, holder) = try await ring.signer(
            at: grant.issuedAt, version: grant.keyRingVersion, algorithm: grant.algorithm)
        let claims = AccessTokenClaims(
            issuer: issuer, subject: grant.subject, audience: grant.audience,
            expiresAt: grant.issuedAt.seconds + lifetime, issuedAt: grant.issuedAt.seconds,
            tokenID: .version7(
                millisecondsSince1970: grant.issuedAt.milliseconds, random: SecureRandom.bytes(10)),
            clientID: grant.clientID, sessionID: grant.sessionID,
            authenticatedAt: grant.authenticatedAt?.seconds, scopes: grant.scopes, roles: grant.roles,
            status: status(of: grant))
        let header = JSONWebSignature.header(algorithm: key.algorithm, keyID: kid, type: AccessTokenClaims.type)
        let input = JSONWebSignature.signingInput(header: header, payload: claims.encoded())
        do {
            let signature = try await (holder == .token ? tokenThreads : threads).run { try key.sign(input) }
            use.minted(under: kid, at: grant.issuedAt)
            return JSONWebSignature.compact(signingInput: input, signature: signature)
        } catch is SigningThreads.Overloaded {
            throw Rejection.unavailable(retryAfter: 1)
        } catch is TookTooLong {
            throw Rejection.unavailable(retryAfter: 1)
        } catch CryptoError.unreachable {
            // The key's token does not answer this node; another node may reach it.
            throw Rejection.unavailable(retryAfter: 1)
        }
    }

    private func status(of grant: Grant) -> StatusListReference? {
        guard let statusLists, let status = grant.sessionID.flatMap({ StatusIndex(of: $0) }) else { return nil }
        return StatusListReference(index: status.index, uri: statusLists.uri(of: status.list))
    }
}
