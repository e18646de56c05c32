package import JOSE
package import LibCrypto
package import Postgres

/// The client that a request says it comes from (RFC 6749 §2.3), before that is proved.
package struct ClaimedClient: Sendable {
    package let id: String
    package let method: ClientAuthenticationMethod
    /// Where `method` shows one.
    package let secret: ClientSecret?

    package init(id: String, method: ClientAuthenticationMethod, secret: ClientSecret?) {
        self.id = id
        self.method = method
        self.secret = secret
    }

    /// What a request without a word about its client is.
    package static let firstParty = ClaimedClient(id: Client.firstParty, method: .none, secret: nil)

    var isFirstParty: Bool { method == .none && id.isSameText(as: Client.firstParty) }

    /// Whether there can be such a client: what cannot be an id is not looked up, however long it is.
    var hasPossibleID: Bool { (1...128).contains(id.utf8.count) && id.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
}

/// What one statement reads of a client, to authenticate it and to mint a token for it.
package struct ClientOnFile: Sendable {
    let isActive: Bool
    let method: ClientAuthenticationMethod
    package let grantTypes: [GrantType]
    package let scopes: [String]
    /// nil for a public client.
    package let epoch: UniqueID?
    /// The present one and, while a rotation lets it live, the one before it.
    let secrets: [ClientSecretHash]
    /// The database's instant, read after the lock where there is one.
    package let now: Instant
    package let keyRingVersion: Int64
    /// nil: the installation's.
    package let accessTokenAlgorithm: SignatureAlgorithm?

    /// nil where the row holds no client.
    init?(_ row: ResultSet.Row) throws(PostgresError) {
        guard let isActive: Bool = try row.decodeIfPresent("is_active") else { return nil }
        self.isActive = isActive
        guard let method = ClientAuthenticationMethod(text: try row.decode("auth_method")) else {
            throw .undecodable(column: "auth_method")
        }
        self.method = method
        grantTypes = try row.decode("grant_types", as: [String].self).compactMap { GrantType(text: $0) }
        scopes = try row.decode("scopes")
        epoch = try row.decodeIfPresent("epoch")
        now = try row.decode("now")
        keyRingVersion = try row.decode("ring")
        accessTokenAlgorithm = try SignatureAlgorithm(ofClient: row)
        var secrets: [ClientSecretHash] = []
        if let hash: Bytes = try row.decodeIfPresent("secret_hash") {
            secrets.append(ClientSecretHash(bytes: hash.bytes, keyVersion: try row.decode("secret_key")))
        }
        if let until: Instant = try row.decodeIfPresent("old_secret_until"), until > now {
            let hash: Bytes = try row.decode("old_secret_hash")
            secrets.append(ClientSecretHash(bytes: hash.bytes, keyVersion: try row.decode("old_secret_key")))
        }
        self.secrets = secrets
    }

    /// RFC 6749 §3.3: what was asked for where the client has all of it; without asking, all that it has.
    ///
    /// - Throws: `Rejection.invalidScope`.
    package func granted(_ asked: String?) throws -> [String] {
        guard let asked else { return scopes }
        let list = try Scope.list(asked)
        guard !list.isEmpty, list.allSatisfy({ Scope.list(scopes, holds: $0) }) else { throw Rejection.invalidScope }
        return list
    }
}

extension ClientSecretKeys {
    /// Whether `claim` is the client on file: active, by its own method, with one of its secrets. Pure.
    ///
    /// The hash is computed whatever is on file, and every refusal is the same one: who probes learns neither which
    /// clients there are nor which are disabled.
    ///
    /// - Parameter client: nil: there is no such client.
    /// - Throws: `Rejection.invalidClient`; `.unavailable` where the secret is stored under a master key that this node
    ///   does not hold (yet): another node may.
    package func authenticate(_ claim: ClaimedClient, as client: ClientOnFile?) throws(Rejection) -> ClientOnFile {
        var (matches, isUndecided) = (claim.secret == nil, false)
        if let secret = claim.secret {
            let stored = client?.secrets ?? []
            let versions = stored.isEmpty ? [current] : Set(stored.map(\.keyVersion))
            for version in versions {
                guard let hash = hash(secret, for: claim.id, version: version) else {
                    if !isRetired(version) { isUndecided = true }
                    continue
                }
                for candidate in stored where candidate.keyVersion == version {
                    if constantTimeEquals(candidate.bytes, hash) { matches = true }
                }
            }
        }
        guard let client, client.isActive, client.method == claim.method else { throw .invalidClient }
        guard matches else { throw isUndecided ? .unavailable(retryAfter: 1) : .invalidClient }
        return client
    }
}
