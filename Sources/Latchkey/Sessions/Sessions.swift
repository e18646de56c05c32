package import JOSE
import LibCrypto
package import Logging
package import Postgres

/// Sessions: opened by a login, refreshed, ended. This room owns the sessions' tables and every journey in which users,
/// clients and sessions meet; the row of a session is the one point where refresh and every kind of end meet, so that no
/// token is minted after an end was acknowledged.
package struct Sessions: Sendable {
    let database: Database
    let users: Users
    let guesses: Guesses
    let masterKeys: MasterKeyRing
    let issuer: TokenIssuer
    let revocations: RevocationList
    let indices: StatusIndices
    let upgrades: PasswordUpgrades
    let policy: SessionPolicy
    /// The default `aud`, and those that a login may ask for beside it.
    let audience: String
    let resources: [String]
    let logger: Logger
    package let metrics = SessionMetrics()

    package init(
        _ database: Database, users: Users, guesses: Guesses, masterKeys: MasterKeyRing, issuer: TokenIssuer,
        revocations: RevocationList, indices: StatusIndices, upgrades: PasswordUpgrades, policy: SessionPolicy,
        audience: String, resources: [String], logger: Logger
    ) {
        self.database = database
        self.users = users
        self.guesses = guesses
        self.masterKeys = masterKeys
        self.issuer = issuer
        self.revocations = revocations
        self.indices = indices
        self.upgrades = upgrades
        self.policy = policy
        self.audience = audience
        self.resources = resources
        self.logger = logger
    }

    /// What a login or a refresh answers with.
    package struct Tokens: Sendable {
        package let accessToken: String
        /// Seconds.
        package let expiresIn: Int64
        package let refreshToken: String
        package let sessionID: String
        package let scopes: [String]
        /// A login's alone.
        package var deviceToken: String?
    }

    /// Without proof that its list is fresh a node mints nothing, nor without the master key that new tokens are made under.
    func requireFresh() throws {
        guard revocations.isFresh, masterKeys.canMint else { throw Rejection.unavailable(retryAfter: 1) }
    }

    /// What a statement that mints returned.
    struct Minting: Sendable {
        let grant: Grant
        let generation: Int64
        let fence: Int64

        init(_ row: ResultSet.Row) throws(PostgresError) {
            let roleScopes: [String] = try row.decode("role_scopes")
            let allowed = [Sessions.accountScope] + roleScopes
            let asked: [String]? = try row.decodeIfPresent("scope")
            grant = Grant(
                subject: try row.decode("user_id", as: UniqueID.self).text,
                clientID: try row.decode("client_id"), sessionID: try row.decode("sid"),
                authenticatedAt: try row.decode("auth_time"),
                scopes: asked.map { asked in asked.filter { scope in allowed.contains { $0.isSameText(as: scope) } } }
                    ?? allowed,
                roles: try row.decode("roles"), audience: try row.decode("audience"), issuedAt: try row.decode("now"),
                keyRingVersion: try row.decode("ring"), algorithm: try SignatureAlgorithm(ofClient: row))
            generation = try row.decode("gen")
            fence = try row.decode("fence")
        }
    }

    /// What every login's token may do: act on the caller's own account.
    package static let accountScope = Scope.account

    /// Signs what a committed statement minted, and hands out `generation` beside it.
    func tokens(_ minting: Minting, rid: [UInt8], generation: Int64) async throws -> Tokens {
        guard let fence = UInt32(exactly: minting.fence), let generation = UInt32(exactly: generation) else {
            throw PostgresError.undecodable(column: "gen")
        }
        return Tokens(
            accessToken: try await issuer.sign(minting.grant), expiresIn: issuer.lifetime,
            refreshToken: RefreshToken(rid: rid, fence: fence, generation: generation).text(
                masterKeys: masterKeys.keys),
            sessionID: minting.grant.sessionID?.text ?? "", scopes: minting.grant.scopes)
    }

    package func list(of user: UserID, after sid: UniqueID?, limit: Int64) async throws(PostgresError)
        -> [SessionSummary]
    {
        var sessions: [SessionSummary] = []
        for row in try await database.query(SessionSQL.sessions(of: user, after: sid, limit: limit)).rows {
            sessions.append(try SessionSummary(row))
        }
        return sessions
    }

    /// How many sessions can still be refreshed, and until when the last of them can unless it is before.
    /// - Parameter instant: only those born before it; nil: all.
    package func living(bornBefore instant: Instant?) async throws -> (count: Int64, until: Instant?) {
        // A session's id begins with the time of its birth, so that an index finds the old ones.
        let bound = instant.map {
            UniqueID.version7(millisecondsSince1970: $0.milliseconds, random: [UInt8](repeating: 0, count: 10))
        }
        let row = try await whileDatabaseLives {
            try await database.lease(timeout: Self.timeout) { lease throws(PostgresError) in
                try await lease.query(SessionSQL.living(before: bound)).one()
            }
        }
        return (try row.decode("count"), try row.decodeIfPresent("until"))
    }

    package func session(_ sid: UniqueID) async throws(PostgresError) -> SessionSummary? {
        guard let row = try await database.query(SessionSQL.session(sid)).first else { return nil }
        return try SessionSummary(row)
    }
}
