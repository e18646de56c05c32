import Foundation
import JOSE
package import LibCrypto
package import Postgres

/// The OAuth clients.
package struct Clients: Sendable {
    private let database: Database
    package let keys: ClientSecretKeys
    private let indices: StatusIndices

    package init(_ database: Database, keys: ClientSecretKeys, indices: StatusIndices) {
        self.database = database
        self.keys = keys
        self.indices = indices
    }

    /// Registers a client. Its secret, where it has one, is shown here and never again: a hash of it is stored.
    ///
    /// - Throws: `Rejection.invalidField`, `.missingField`, `.insufficientScope`.
    package func create(
        _ request: ClientRequest, by authority: ScopeAuthority, origin: Origin, once: Once<Created>? = nil
    ) async throws -> Created {
        let metadata = try ClientMetadata(request, over: nil)
        try authority.require(metadata.scopes)
        // Made here and a UUID: it can be neither a user's id nor another client's (RFC 9068 §5).
        let id = UniqueID.version7(
            millisecondsSince1970: Int64(Date().timeIntervalSince1970 * 1000), random: SecureRandom.bytes(10)
        ).text
        let secret = metadata.authenticationMethod == .none ? nil : ClientSecret.random()
        let epoch = try await indices.epoch()
        let statements = [
            ClientSQL.insert(id, metadata, secret.map { keys.hash($0, for: id) }, epoch: epoch),
            Event.clientCreated(client: id, name: metadata.name, scopes: metadata.scopes).row(origin),
        ]
        do {
            return try await database.create(statements, once) { results in (try Client(results[0].one()), secret) }
        } catch PostgresError.unknownOutcome {
            // Its id is nobody else's: where it is there, this is what was committed. The lock makes this commit a write.
            guard let row = try? await database.query(ClientSQL.lock(id)).first else {
                throw PostgresError.unknownOutcome
            }
            return (try Client(row), secret)
        }
    }

    package typealias Created = (client: Client, secret: ClientSecret?)

    /// - Throws: `Rejection.notFound`.
    package func find(_ id: String) async throws -> Client {
        guard let row = try await database.query(ClientSQL.client(id)).first else {
            throw Rejection.notFound(what: "client")
        }
        return try Client(row)
    }

    /// In the order of their ids, which is that of their making.
    package func list(after id: String, limit: Int64) async throws(PostgresError) -> [Client] {
        var clients: [Client] = []
        for row in try await database.query(ClientSQL.clients(after: id, limit: limit)).rows {
            clients.append(try Client(row))
        }
        return clients
    }

    /// By which algorithms active clients want their access tokens signed, apart from those that take the installation's:
    /// each needs keys of its own.
    package func algorithms() async throws(PostgresError) -> Set<SignatureAlgorithm> {
        var algorithms: Set<SignatureAlgorithm> = []
        for row in try await database.query(ClientSQL.algorithms).rows {
            if let algorithm = try SignatureAlgorithm(ofClient: row) { algorithms.insert(algorithm) }
        }
        return algorithms
    }

    /// It begins with the epoch that disabling it made: no token from before lives again.
    package func enable(_ id: String, origin: Origin) async throws {
        try await database.transaction { transaction in
            guard try await transaction.query(ClientSQL.enable(id)).affected == 1 else {
                throw Rejection.notFound(what: "client")
            }
            try await transaction.commit([Event.clientEnabled(client: id).row(origin)])
        }
    }

    /// Proves who a request comes from. `first-party` needs no proof and no look.
    ///
    /// - Returns: the client's id.
    /// - Throws: `Rejection.invalidClient`, the same for an unknown client, a disabled one and a wrong secret;
    ///   `.unauthorizedClient` where it is not registered for `grant`.
    package func authenticate(_ claim: ClaimedClient, for grant: GrantType? = nil) async throws -> String {
        if claim.isFirstParty { return Client.firstParty }
        let client = try keys.authenticate(claim, as: try await onFile(claim))
        await renew(claim, client)
        if let grant, !client.grantTypes.contains(grant) { throw Rejection.unauthorizedClient }
        return claim.id
    }

    /// The same of one that is registered with `scope`.
    ///
    /// - Throws: `Rejection.invalidClient` as above; `.insufficientScope`.
    package func authenticate(_ claim: ClaimedClient, holding scope: String) async throws {
        let client = try keys.authenticate(claim, as: try await onFile(claim))
        guard Scope.list(client.scopes, holds: scope) else { throw Rejection.insufficientScope(scope) }
    }

    /// How many secrets are hashed under that version of the master key.
    package func count(hashedUnder version: Int16) async throws(PostgresError) -> Int64 {
        try await database.query(ClientSQL.countSecrets(hashedUnder: version)).one().decode("count")
    }

    private func onFile(_ claim: ClaimedClient) async throws(PostgresError) -> ClientOnFile? {
        guard claim.hasPossibleID else { return nil }
        return try ClientOnFile(try await database.grouped(ClientSQL.read(claim.id, .unlocked)).one())
    }

    /// The same in a statement that mints: under the row's lock, which is skipped where another holds it and then waited
    /// for alone.
    package func authenticateToMint(_ claim: ClaimedClient) async throws -> ClientOnFile {
        let client = try keys.authenticate(claim, as: try await onFileUnderLock(claim))
        await renew(claim, client)
        return client
    }

    /// The secret is known in this moment alone: the one time at which its hash can come under a newer master key.
    private func renew(_ claim: ClaimedClient, _ client: ClientOnFile) async {
        guard let (old, new) = keys.renewal(of: claim, client) else { return }
        // Where it fails the next authentication does it; this one does not rest on it.
        _ = try? await database.query(ClientSQL.rehashSecret(claim.id, from: old, to: new))
    }

    private func onFileUnderLock(_ claim: ClaimedClient) async throws(PostgresError) -> ClientOnFile? {
        guard claim.hasPossibleID else { return nil }
        let row = try await database.grouped(ClientSQL.read(claim.id, .sharedSkippingLocked)).one()
        if let client = try ClientOnFile(row) { return client }
        guard try row.decode("is_locked") else { return nil }
        return try ClientOnFile(
            try await database.batch([ClientSQL.lockShared(claim.id), ClientSQL.read(claim.id, .unlocked)])[1].one())
    }
}
