package import JOSE
package import Postgres

/// Where an act came from: who did it, from which address, in which request. Written to the audit log with the act.
package struct Origin: Sendable {
    /// `user:<id>`, `cli:<system user>`, or `anonymous`.
    package var actor: String
    package var address: String?
    package var requestID: String?

    package init(actor: String, address: String? = nil, requestID: String? = nil) {
        self.actor = actor
        self.address = address
        self.requestID = requestID
    }
}

/// What matters enough to be told: the only way to audit. The row is written in the transaction of the act itself, so
/// neither stands without the other.
package enum Event: Sendable {
    case userRegistered(user: String, username: String)
    case passwordChanged(user: String)
    case passwordSet(user: String)
    case userDisabled(user: String, reason: String?)
    case userEnabled(user: String)
    case userDeleted(user: String, reason: String?)
    case roleGranted(user: String, role: String)
    case roleRevoked(user: String, role: String)
    case roleCreated(role: String, scopes: [String])
    case roleChanged(role: String, scopes: [String])
    case roleDeleted(role: String)
    case sessionRevoked(session: String, cause: String, reason: String?)
    /// `epochs`: the `sid`s of clients' own tokens that ended with them.
    case sessionsRevoked(target: String, epochs: [String] = [], reason: String?)
    case tokenRevoked(token: String, reason: String?)
    case keyRotated(from: String, to: String, reason: String?)
    case keysFounded(kids: [String])
    case keyImported(kid: String, algorithm: String)
    case keyMoved(kid: String, KeyMove)
    /// `next`: who signs in its place, where it signed.
    case keyCompromised(kid: String, next: String?, reason: String)
    case keyRestored(kid: String, reason: String?)
    case clientCreated(client: String, name: String, scopes: [String])
    /// `epoch`, here and below: the `sid` of the client's own tokens, where they ended with this.
    case clientChanged(client: String, scopes: [String], epoch: String?)
    case clientSecretRotated(client: String, oldLives: Int64, epoch: String?)
    case clientDisabled(client: String, epoch: String?, reason: String?)
    case clientEnabled(client: String)
    case masterKeyMade(version: Int16, purpose: String)
    case masterKeyMints(version: Int16)
    case masterKeysCompromised(by: Int16, reason: String)
    case masterKeyRetired(version: Int16, forced: String?)
    case keyResealed(kid: String, from: Int16, to: Int16)
    /// A restored database, or a failover: all that was handed out before is void. `kids`: the keys that go with it.
    case historyLost(cause: String, fence: Int64, kids: [String])
    /// The database has another name and lost nothing.
    case historyKept

    /// A step of the schedule: into the JWKS (`published`), read there (`stamped`), the first of its algorithm (`activated`)
    /// or the last (`retired`), its last token's end known (`parted`), out of the JWKS (`removed`), destroyed (`wiped`).
    package enum KeyMove: String, Sendable {
        case published, stamped, activated, retired, parted, removed, wiped
    }

    /// A stable word.
    package var action: String {
        switch self {
        case .userRegistered: "user.registered"
        case .passwordChanged: "user.password-changed"
        case .passwordSet: "user.password-set"
        case .userDisabled: "user.disabled"
        case .userEnabled: "user.enabled"
        case .userDeleted: "user.deleted"
        case .roleGranted: "role.granted"
        case .roleRevoked: "role.revoked"
        case .roleCreated: "role.created"
        case .roleChanged: "role.changed"
        case .roleDeleted: "role.deleted"
        case .sessionRevoked: "session.revoked"
        case .sessionsRevoked: "sessions.revoked"
        case .tokenRevoked: "token.revoked"
        case .keyRotated: "key.rotated"
        case .keysFounded: "key.founded"
        case .keyImported: "key.imported"
        case .keyMoved(_, let move): "key.\(move.rawValue)"
        case .keyCompromised: "key.compromised"
        case .keyRestored: "key.restored"
        case .clientCreated: "client.created"
        case .clientChanged: "client.changed"
        case .clientSecretRotated: "client.secret-rotated"
        case .clientDisabled: "client.disabled"
        case .clientEnabled: "client.enabled"
        case .masterKeyMade: "master-key.made"
        case .masterKeyMints: "master-key.in-use"
        case .masterKeysCompromised: "master-key.compromised"
        case .masterKeyRetired: "master-key.retired"
        case .keyResealed: "key.resealed"
        case .historyLost: "history.lost"
        case .historyKept: "history.kept"
        }
    }

    /// `user:…`, `session:…`, `role:…`, `token:…`, `key:…`, `client:…`, `master-key:…`, `installation`.
    package var target: String {
        switch self {
        case .userRegistered(let user, _), .passwordChanged(let user), .passwordSet(let user),
            .userDisabled(let user, _), .userDeleted(let user, _),
            .userEnabled(let user), .roleGranted(let user, _), .roleRevoked(let user, _):
            "user:\(user)"
        case .roleCreated(let role, _), .roleChanged(let role, _), .roleDeleted(let role): "role:\(role)"
        case .sessionRevoked(let session, _, _): "session:\(session)"
        case .sessionsRevoked(let target, _, _): target
        case .tokenRevoked(let token, _): "token:\(token)"
        case .keyRotated(_, let to, _): "key:\(to)"
        case .keysFounded: "key:all"
        case .keyImported(let kid, _): "key:\(kid)"
        case .keyMoved(let kid, _): "key:\(kid)"
        case .keyCompromised(let kid, _, _), .keyRestored(let kid, _): "key:\(kid)"
        case .clientCreated(let client, _, _), .clientChanged(let client, _, _),
            .clientSecretRotated(let client, _, _), .clientDisabled(let client, _, _), .clientEnabled(let client):
            "client:\(client)"
        case .masterKeyMade(let version, _), .masterKeyMints(let version), .masterKeysCompromised(let version, _),
            .masterKeyRetired(let version, _):
            "master-key:\(version)"
        case .keyResealed(let kid, _, _): "key:\(kid)"
        case .historyLost, .historyKept: "installation"
        }
    }

    /// Never a secret.
    package var detail: JSONValue {
        func with(_ members: [(String, JSONValue?)]) -> JSONValue { .object(JSONObject(members)) }
        func text(_ value: String?) -> JSONValue? { value.map { .string($0) } }
        func list(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }
        return switch self {
        case .userRegistered(_, let username): with([("username", .string(username))])
        case .passwordChanged, .passwordSet, .userEnabled, .roleDeleted: with([])
        case .userDisabled(_, let reason), .userDeleted(_, let reason), .tokenRevoked(_, let reason):
            with([("reason", text(reason))])
        case .sessionsRevoked(_, let epochs, let reason):
            with([("sids", epochs.isEmpty ? JSONValue?.none : list(epochs)), ("reason", text(reason))])
        case .roleGranted(_, let role), .roleRevoked(_, let role): with([("role", .string(role))])
        case .roleCreated(_, let scopes), .roleChanged(_, let scopes): with([("scopes", list(scopes))])
        case .sessionRevoked(_, let cause, let reason): with([("cause", .string(cause)), ("reason", text(reason))])
        case .keyRotated(let from, _, let reason): with([("from", .string(from)), ("reason", text(reason))])
        case .keyMoved: with([])
        case .keysFounded(let kids): with([("kids", list(kids))])
        case .keyCompromised(_, let next, let reason): with([("next", text(next)), ("reason", .string(reason))])
        case .keyRestored(_, let reason): with([("reason", text(reason))])
        case .keyImported(_, let algorithm): with([("alg", .string(algorithm))])
        case .clientCreated(_, let name, let scopes): with([("name", .string(name)), ("scopes", list(scopes))])
        case .clientChanged(_, let scopes, let epoch): with([("scopes", list(scopes)), ("sid", text(epoch))])
        case .clientSecretRotated(_, let seconds, let epoch):
            with([("old_lives", .integer(seconds)), ("sid", text(epoch))])
        case .clientDisabled(_, let epoch, let reason): with([("sid", text(epoch)), ("reason", text(reason))])
        case .clientEnabled, .masterKeyMints: with([])
        case .masterKeyMade(_, let purpose): with([("for", .string(purpose))])
        case .masterKeysCompromised(_, let reason): with([("reason", .string(reason))])
        case .masterKeyRetired(_, let forced): with([("in_spite_of", text(forced))])
        case .historyLost(let cause, let fence, let kids):
            with([("cause", .string(cause)), ("fence", .integer(fence)), ("kids", list(kids))])
        case .historyKept: with([])
        case .keyResealed(_, let from, let to): with([("from", .integer(Int64(from))), ("to", .integer(Int64(to)))])
        }
    }

    /// The audit row, to be sent in the transaction that the event tells of.
    package func row(_ origin: Origin) -> Query {
        """
        INSERT INTO audit_events (actor, action, target, address, request_id, detail)
        VALUES (\(origin.actor), \(action), \(target), \(origin.address), \(origin.requestID), \(detailText))
        """
    }

    /// The audit rows of sessions that a statement ends, for a common table expression after one named `ended (sid)`:
    /// what is ended is known to the statement alone.
    package static func rowsOfEnded(cause: String, reason: String?, _ origin: Origin) -> Query {
        let event = Event.sessionRevoked(session: "", cause: cause, reason: reason)
        return """
            INSERT INTO audit_events (actor, action, target, address, request_id, detail)
            SELECT \(origin.actor), \(event.action), 'session:' || sid::text, \(origin.address), \(origin.requestID),
                   \(event.detailText)
            FROM ended
            """
    }

    private var detailText: String { String(decoding: detail.encoded(), as: UTF8.self) }
}
