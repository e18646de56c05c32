import Foundation
import JOSE
import LibCrypto
import Postgres

extension Sessions {
    /// What a client asks for when it logs in.
    package struct LogIn: Sendable {
        package var username: String
        package var password: String
        /// `aud` beside the default (RFC 8707); nil: the default audience.
        package var resources: [String]
        /// nil: `account` and all that the user's roles carry.
        package var scope: String?
        /// What an earlier login on the same device was answered with.
        package var deviceToken: String?

        package init(
            username: String, password: String, resources: [String], scope: String?, deviceToken: String? = nil
        ) {
            self.username = username
            self.password = password
            self.resources = resources
            self.scope = scope
            self.deviceToken = deviceToken
        }
    }

    /// Logs in by name and password: guess's slot, credentials, hash, one statement, signature.
    ///
    /// - Throws: what `prove` does, `.unavailable`, `.invalidTarget`, `.invalidScope`.
    package func logIn(_ request: LogIn, origin: Origin) async throws -> Tokens {
        let scope = try request.scope.map { try Scope.list($0) }
        if let scope, scope.isEmpty { throw Rejection.invalidScope }
        let audience = try Audience.requested(request.resources, default: audience, others: resources)
        try requireFresh()
        // A name or a password that no account can have still queues and hashes: its refusal costs what others' do.
        let username = try? Username(request.username)
        let password = try Self.password(checking: request.password)

        return try await prove(
            password, of: request.username, deviceToken: request.deviceToken, origin: origin,
            reading: {
                guard let username else { return nil }
                return try await users.credentials(username, clientID: Client.firstParty)
            },
            { proof in
                let tokens = try await open(proof, clientID: Client.firstParty, scope: scope, audience: audience)
                if proof.verdict == .matchesNeedsUpgrade {
                    upgrades.schedule(proof.credentials.id, from: proof.phc, with: password)
                }
                return tokens
            })
    }

    static func password(checking text: String) throws -> Password {
        do {
            return try Password(checking: text)
        } catch {
            throw Rejection.invalidField("password", reason: error.description)
        }
    }

    /// One statement; its row exists only where user and client still are what they were when the hash was read.
    func open(
        _ proof: Proof, clientID: String, scope: [String]?, audience: [String]
    ) async throws -> Tokens {
        let credentials = proof.credentials
        try requireFresh()
        guard let now = revocations.clock.now() else { throw Rejection.unavailable(retryAfter: 1) }
        let slot = policy.slot(bornAt: now)
        let birth = SessionBirth(
            slot: slot, rid: [UInt8(slot)] + SecureRandom.bytes(15),
            sid: try await indices.sessionID(bornAt: now),
            user: credentials.id, securityVersion: credentials.securityVersion, clientID: clientID,
            clientVersion: credentials.clientVersion, scope: scope, audience: audience, policy: policy)
        var result = try await database.grouped(SessionSQL.open(birth, .skipLocked))
        if result.count == 0 { result = try await database.query(SessionSQL.open(birth, .wait)) }
        guard let row = result.first else {
            // Its bit may be of a history that this node does not know to be lost until its next tick.
            guard let status = StatusIndex(of: birth.sid), try await indices.exists(status.list) else {
                throw Rejection.unavailable(retryAfter: 1)
            }
            throw Rejection.invalidCredentials
        }
        metrics.opened.add()
        let minting = try Minting(row)
        guard let passwordVersion = UInt32(exactly: credentials.passwordVersion) else {
            throw PostgresError.undecodable(column: "password_version")
        }
        var tokens = try await tokens(minting, rid: birth.rid, generation: minting.generation)
        tokens.deviceToken = guesses.deviceToken(
            for: credentials.id, passwordVersion: passwordVersion, known: proof.device, bornAt: minting.grant.issuedAt)
        return tokens
    }
}
