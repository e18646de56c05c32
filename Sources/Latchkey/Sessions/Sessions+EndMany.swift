package import JOSE
import Postgres

/// Journeys that end many sessions at once. Each: (1) change the user, the client or the role, which locks out births and
/// raises the version that one in flight was begun under; (2) in a **new** statement lock the sessions in order, end them
/// and append them to the list. In one statement the second half would not see a session that was born while the first
/// half waited.
extension Sessions {
    /// Nanoseconds: ending very many sessions may take a while.
    static let timeout: Int64 = 60_000_000_000

    /// Runs what may take so long, for as long as the database lives: commits beside it show whether it does, this node's
    /// ticks and, where those do not come, looks. One that froze, or whose standby is gone, would have every caller wait for
    /// a minute, and eight of them hold the whole pool.
    ///
    /// - Throws: `PostgresError.unknownOutcome` where the database has confirmed no commit for as long as a request waits for
    ///   it (what this one has waited before counts); for twice as long in a command, which has no ticks, and where an
    ///   ending has gone on for longer than that: what may take a minute is not given up for one slow flush.
    func whileDatabaseLives<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
        let patience = database.configuration.statementTimeout
        let begun = BootInstant.now().advanced(by: (Patience.current?.bounded(patience) ?? patience) - patience)
        return try await withThrowingTaskGroup(of: R?.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await body() }
            group.addTask {
                var (confirmed, woken) = (begun, BootInstant.now())
                while !Task.isCancelled {
                    let now = BootInstant.now()
                    // While this process stood still nobody looked.
                    confirmed = confirmed.advanced(by: max(0, now - woken - Self.mostSilence))
                    woken = now
                    // A tick confirms a commit that came after it began.
                    if let age = revocations.age { confirmed = max(confirmed, now.advanced(by: -age)) }
                    let hasGoneOn = confirmed - begun > patience
                    let limit = revocations.age == nil || hasGoneOn ? 2 * patience : patience
                    let silence = now - confirmed
                    if silence >= limit { return nil }
                    // One that hangs may be its connection's fault: a command has time for another.
                    let timeout = min(limit - silence, patience / 2)
                    if silence >= Self.mostSilence,
                        (try? await database.grouped(RevocationSQL.proveLivingPrimary, timeout: timeout)) != nil
                    {
                        confirmed = now
                    } else {
                        // Nearly all endings are done by then, and pay for no look. A look that failed at once (its
                        // connection broke) is made again.
                        let left = limit - (BootInstant.now() - confirmed)
                        try? await Task.sleep(for: .nanoseconds(min(250_000_000, max(0, left))))
                    }
                }
                return nil
            }
            guard let result = try await group.next() ?? nil else { throw PostgresError.unknownOutcome }
            return result
        }
    }

    /// Nanoseconds without a tick, after which it is looked whether the database lives: two ticks late.
    private static let mostSilence: Int64 = 1_000_000_000

    /// Runs `change` and then ends `which`, all or nothing.
    ///
    /// - Parameter last: in the same transaction, behind all that may wait: rows that others wait for in a lane.
    private func endMany(
        _ which: SessionEndSQL.Which, cause: EndCause, reason: String?, origin: Origin, event: Event,
        last: [Query] = [], after change: @escaping @Sendable (Transaction) async throws -> Void
    ) async throws -> FeedPosition {
        let ended = try await whileDatabaseLives {
            try await database.transaction { transaction in
                try await change(transaction)
                return try await transaction.commit(
                    [
                        event.row(origin),
                        SessionEndSQL.end(which, .wait, cause: cause, reason: reason, origin: origin),
                    ] + last, timeout: Self.timeout)[1]
            }
        }
        if let position = try take(ended, ended: cause) { return position }
        return try await readPositionAnew()
    }

    /// What was committed is looked at with time of its own: the ending may have taken all of the request's.
    private func readPositionAnew() async throws -> FeedPosition {
        try await Patience.$current.withValue(nil) { try await readPosition() }
    }

    private func expectOne(_ result: ResultSet, or missing: Rejection) throws {
        guard result.affected == 1 else { throw missing }
    }

    /// - Throws: `Rejection.notFound`.
    package func disable(_ user: UserID, reason: String?, origin: Origin) async throws -> FeedPosition {
        try await endMany(
            .user(user, except: nil), cause: .userDisabled, reason: reason, origin: origin,
            event: .userDisabled(user: user.text, reason: reason)
        ) { transaction in
            try expectOne(try await transaction.query(UserSQL.disable(user)), or: .notFound(what: "user"))
        }
    }

    /// By name or by id. The name is free from then on; whoever takes it is another user, with another id.
    /// - Throws: `Rejection.notFound`.
    package func deleteUser(_ nameOrID: String, reason: String?, origin: Origin) async throws -> FeedPosition {
        do {
            let user = try await users.find(nameOrID).id
            let devices = GuessSQL.forgetDevices(of: user.id)
            let position = try await endMany(
                .user(user, except: nil), cause: .userDeleted, reason: reason, origin: origin,
                event: .userDeleted(user: user.text, reason: reason),
                // A log in with a device of theirs would wait for this row, and with it all that is in its group. Nor is a
                // log in waited for that holds it: every other revocation would wait behind this one's place in the list.
                last: [devices]
            ) { transaction in
                try expectOne(try await transaction.query(UserSQL.delete(user)), or: .notFound(what: "user"))
            }
            _ = try? await database.query(devices)
            return position
        } catch let missing as Rejection {
            // It may be gone by a commit whose wait for a standby was cancelled: the answer rests on one behind it.
            try await database.query(RevocationSQL.proveLivingPrimary)
            throw missing
        }
    }

    /// The owner changes the password: every other session ends, and no device is known any more.
    /// - Throws: what `prove` does; `Rejection.invalidCredentials` also where the password was changed meanwhile.
    package func changePassword(
        of user: UserID, current: Password, new: Password, keeping sid: UniqueID?, deviceToken: String?, origin: Origin
    ) async throws -> FeedPosition {
        // Counted by the name, like a login: a thief of an access token gets no guesses beside those.
        let name = try await users.user(user)?.username ?? user.text
        return try await prove(
            current, of: name, deviceToken: deviceToken, origin: origin,
            reading: { try await users.credentials(user, clientID: Client.firstParty) },
            { proof in
                let phc = try await users.hash(new)
                return try await endMany(
                    .user(user, except: sid), cause: .passwordChanged, reason: nil, origin: origin,
                    event: .passwordChanged(user: user.text)
                ) { transaction in
                    let set = UserSQL.setPassword(user, phc, ifVersion: proof.credentials.securityVersion)
                    try expectOne(try await transaction.query(set), or: .invalidCredentials)
                }
            })
    }

    /// An administrator sets it: every session ends, and no device is known any more.
    package func setPassword(of user: UserID, _ new: Password, origin: Origin) async throws -> FeedPosition {
        let phc = try await users.hash(new)
        return try await endMany(
            .user(user, except: nil), cause: .passwordChanged, reason: nil, origin: origin,
            event: .passwordSet(user: user.text)
        ) { transaction in
            let set = UserSQL.setPassword(user, phc, ifVersion: nil)
            try expectOne(try await transaction.query(set), or: .notFound(what: "user"))
        }
    }

    /// - Throws: `Rejection.notFound` where the user does not hold the role.
    package func revokeRole(_ role: String, from user: UserID, origin: Origin) async throws -> FeedPosition {
        try await endMany(
            .user(user, except: nil), cause: .roleTaken, reason: nil, origin: origin,
            event: .roleRevoked(user: user.text, role: role)
        ) { transaction in
            // The user is locked before the role goes: a birth in flight either came before, and its session is ended
            // below, or finds another version.
            let results = try await transaction.batch([UserSQL.raiseVersion(user), UserSQL.revoke(role, from: user)])
            try expectOne(results[1], or: .notFound(what: "role of that user"))
        }
    }

    /// A role that loses a scope ends its holders' sessions; one that only gains shows at their next refresh.
    package func setScopes(_ scopes: [String], ofRole role: String, origin: Origin) async throws -> FeedPosition {
        for scope in scopes where Scope(scope) == nil {
            throw Rejection.invalidField("scopes", reason: "A scope is 1 to 128 printable ASCII characters, no quotes.")
        }
        return try await changeRole(role, origin: origin, event: .roleChanged(role: role, scopes: scopes)) {
            transaction, old in
            try await transaction.query(UserSQL.setScopes(role, scopes))
            let isNarrowed = old.contains { scope in !scopes.contains { $0.isSameText(as: scope) } }
            return isNarrowed
        }
    }

    package func deleteRole(_ role: String, origin: Origin) async throws -> FeedPosition {
        try await changeRole(role, origin: origin, event: .roleDeleted(role: role)) { transaction, _ in true }
    }

    private func changeRole(
        _ role: String, origin: Origin, event: Event,
        _ change: @escaping @Sendable (Transaction, _ old: [String]) async throws -> Bool
    ) async throws -> FeedPosition {
        let isDeletion = if case .roleDeleted = event { true } else { false }
        let ended = try await whileDatabaseLives {
            try await database.transaction(timeout: Self.timeout) { transaction -> ResultSet? in
                guard let row = try await transaction.query(UserSQL.lockRole(role)).first else {
                    throw Rejection.notFound(what: "role")
                }
                guard try await change(transaction, try row.decode("scopes")) else {
                    try await transaction.commit([event.row(origin)])
                    return nil
                }
                var holders: [UniqueID] = []
                for row in try await transaction.query(UserSQL.raiseVersionOfHolders(role)).rows {
                    holders.append(try row.decode("id"))
                }
                if isDeletion {
                    _ = try await transaction.batch([UserSQL.revokeFromAll(role), UserSQL.deleteRole(role)])
                }
                return try await transaction.commit([
                    event.row(origin),
                    SessionEndSQL.end(.users(holders), .wait, cause: .roleTaken, reason: nil, origin: origin),
                ])[1]
            }
        }
        if let ended, let position = try take(ended, ended: .roleTaken) { return position }
        return try await readPositionAnew()
    }

    package func revokeAll(of user: UserID, reason: String?, origin: Origin) async throws -> FeedPosition {
        try await endMany(
            .user(user, except: nil), cause: .revoked, reason: reason, origin: origin,
            event: .sessionsRevoked(target: "user:\(user.text)", reason: reason)
        ) { transaction in
            try expectOne(try await transaction.query(UserSQL.raiseVersion(user)), or: .notFound(what: "user"))
        }
    }

    /// Clients' own tokens end with the sessions.
    package func revokeAll(reason: String?, origin: Origin) async throws -> FeedPosition {
        let (ended, epochs) = try await whileDatabaseLives {
            try await database.transaction(timeout: Self.timeout) { transaction in
                // Users before clients, as a birth locks them.
                let locked = try await transaction.batch([UserSQL.raiseVersionOfAll, ClientSQL.lockAll])[1]
                var (ids, epochs): ([String], [UniqueID]) = ([], [])
                for row in locked.rows {
                    ids.append(try row.decode("id"))
                    epochs.append(try row.decode("epoch"))
                }
                let next = try await indices.epochs(ids.count, in: transaction)
                try await transaction.query(ClientSQL.endAll(ids, epochs: next))
                let ended = try await transaction.commit([
                    Event.sessionsRevoked(target: "all", epochs: epochs.map(\.text), reason: reason).row(origin),
                    SessionEndSQL.end(.all, .wait, epochs: epochs, cause: .revoked, reason: reason, origin: origin),
                ])[1]
                return (ended, epochs.count)
            }
        }
        if let position = try take(ended, ended: .revoked, epochs: epochs) { return position }
        return try await readPositionAnew()
    }
}
