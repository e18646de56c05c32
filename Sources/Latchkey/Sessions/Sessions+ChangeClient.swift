import JOSE
import Postgres

/// Journeys that change a client and what was begun under it. Each locks the client's row, which holds up minting and
/// births, and then, where it ends something, in a new statement ends the client's sessions and puts them and the epoch of
/// the client's own tokens on the list.
extension Sessions {
    /// Seconds that the old secret lives beside the new one where nothing is said, and at the most.
    package static let oldSecretLife: Int64 = 86_400
    package static let longestOldSecretLife: Int64 = 2_592_000

    /// - Throws: `Rejection.notFound`, `.conflict` for the built-in client.
    package func disableClient(_ id: String, reason: String?, origin: Origin) async throws -> FeedPosition? {
        try await change(
            id, reason: reason, origin: origin,
            event: { _, epoch in .clientDisabled(client: id, epoch: epoch, reason: reason) }
        ) { client, next in
            try client.requireChangeable()
            return ClientChange(statement: ClientSQL.disable(id, next: next), ends: .clientDisabled)
        }.position
    }

    /// A client that loses a scope or a grant type loses its tokens and sessions with it; what it gains shows in its next
    /// token.
    ///
    /// - Throws: `Rejection.notFound`, `.conflict` for the built-in client, `.invalidField`, `.insufficientScope`.
    package func changeClient(
        _ id: String, _ request: ClientRequest, by authority: ScopeAuthority, origin: Origin
    ) async throws -> (client: Client, position: FeedPosition?) {
        try await change(
            id, reason: nil, origin: origin,
            event: { client, epoch in
                .clientChanged(client: id, scopes: client.metadata.scopes, epoch: epoch)
            }
        ) { client, next in
            try client.requireChangeable()
            let metadata = try ClientMetadata(request, over: client.metadata)
            // Those that it has too: who moves a mightier client's redirect URI would get its codes.
            try authority.require(client.metadata.scopes + metadata.scopes)
            let isNarrower = metadata.isNarrower(than: client.metadata)
            return ClientChange(
                statement: ClientSQL.set(id, metadata, isNarrower ? .ends(next: next) : .goesOn),
                ends: isNarrower ? .clientNarrowed : nil)
        }
    }

    /// Gives a client another secret. The one before it is accepted for some time more, and what the client holds lives
    /// on; with 0 it has leaked, and all that was got by it ends.
    ///
    /// - Parameters:
    ///   - hash: of the new secret.
    ///   - seconds: 0 to `longestOldSecretLife`. A secret older than the present one is dropped in any case.
    /// - Throws: `Rejection.notFound`, `.conflict` for a client without a secret, `.insufficientScope`, `.invalidField`.
    package func rotateSecret(
        of id: String, to hash: ClientSecretHash, oldLives seconds: Int64, by authority: ScopeAuthority, origin: Origin,
        once: Once<Client>? = nil
    ) async throws -> (client: Client, position: FeedPosition?) {
        guard (0...Self.longestOldSecretLife).contains(seconds) else {
            throw Rejection.invalidField(
                "expire_old_after", reason: "It is a number of seconds from 0 to \(Self.longestOldSecretLife).")
        }
        return try await change(
            id, reason: nil, origin: origin, once: once,
            event: { _, epoch in .clientSecretRotated(client: id, oldLives: seconds, epoch: epoch) }
        ) { client, next in
            guard client.metadata.authenticationMethod != .none else {
                throw Rejection.conflict(code: "public-client", detail: "The client has no secret: it is a public one.")
            }
            // Who gets the secret gets the scopes.
            try authority.require(client.metadata.scopes)
            return ClientChange(
                statement: ClientSQL.rotateSecret(id, to: hash, oldLives: seconds, next: next),
                ends: seconds > 0 ? nil : .clientSecretDropped)
        }
    }

    /// - Throws: `Rejection.notFound`.
    package func revokeAll(ofClient id: String, reason: String?, origin: Origin) async throws -> FeedPosition? {
        try await change(
            id, reason: reason, origin: origin,
            event: { _, epoch in
                .sessionsRevoked(target: "client:\(id)", epochs: epoch.map { [$0] } ?? [], reason: reason)
            }
        ) { _, next in
            ClientChange(statement: ClientSQL.end(id, next: next), ends: .revoked)
        }.position
    }

    private struct ClientChange: Sendable {
        /// Returns the client's row.
        let statement: Query
        /// nil: nothing ends.
        let ends: EndCause?
    }

    /// - Parameters:
    ///   - event: of the client after the change, and the epoch that ended.
    ///   - decide: on the client as it is under the lock; the epoch is the one that begins where its present one ends.
    private func change(
        _ id: String, reason: String?, origin: Origin, once: Once<Client>? = nil,
        event: @escaping @Sendable (Client, String?) -> Event,
        _ decide: @escaping @Sendable (Client, UniqueID) throws -> ClientChange
    ) async throws -> (client: Client, position: FeedPosition?) {
        let next = try await indices.epoch()
        let (client, ended) = try await whileDatabaseLives {
            try await database.transaction {
                transaction -> (Client, (result: ResultSet, cause: EndCause, epochs: Int)?) in
                if let once, try await transaction.query(once.claim).affected != 1 { throw AlreadyClaimed() }
                guard let row = try await transaction.query(ClientSQL.lock(id)).first else {
                    throw Rejection.notFound(what: "client")
                }
                let before = try Client(row)
                let change = try decide(before, next)
                let after = try Client(try await transaction.query(change.statement).one())
                // Before what takes the feed's head, and not in one send with it: a client may be long.
                if let once { try await transaction.query(try once.keep(after)) }
                guard let cause = change.ends else {
                    try await transaction.commit([event(after, nil).row(origin)])
                    return (after, nil)
                }
                let ended = try await transaction.commit(
                    [
                        event(after, before.epoch?.text).row(origin),
                        SessionEndSQL.end(
                            .client(id), .wait, epochs: before.epoch.map { [$0] } ?? [], cause: cause, reason: reason,
                            origin: origin),
                    ], timeout: Self.timeout)
                return (after, (ended[1], cause, before.epoch == nil ? 0 : 1))
            }
        }
        guard let ended else { return (client, nil) }
        if let position = try take(ended.result, ended: ended.cause, epochs: ended.epochs) { return (client, position) }
        // A new secret is told here alone: it is not lost for a position's sake.
        if ended.cause == .clientSecretDropped { return (client, try? await readPosition()) }
        return (client, try await readPosition())
    }
}
