package import JOSE
import LibCrypto
package import Postgres

/// Every statement on `clients`.
package enum ClientSQL {
    /// What `Client` is decoded from.
    private static let columns: StaticString = """
        id, name, status = 'active' AS is_active, auth_method, grant_types, redirect_uris, scopes, epoch, created_at,
        access_token_alg,
        CASE WHEN old_secret_until > clock_timestamp() THEN old_secret_until END AS old_secret_until
        """

    /// What `ClientOnFile` is decoded from, but for the clock and the key ring.
    private static let file: StaticString = """
        status = 'active' AS is_active, auth_method, grant_types, scopes, epoch, secret_hash, secret_key, old_secret_hash,
        old_secret_key, old_secret_until, access_token_alg
        """

    package enum Locking { case unlocked, sharedSkippingLocked }

    /// One row, whether there is such a client or not. Where it holds no client, `is_locked` tells one whose row is locked
    /// from one that does not exist: who asks for the latter is answered after one round trip, as for a wrong secret.
    ///
    /// FOR SHARE conflicts with whatever ends the client's tokens; the clock is read above the lock.
    package static func read(_ id: String, _ locking: Locking) -> Query {
        let lock: StaticString = locking == .sharedSkippingLocked ? "FOR SHARE SKIP LOCKED" : ""
        return """
            SELECT c.is_active, c.auth_method, c.grant_types, c.scopes, c.epoch, c.secret_hash, c.secret_key,
                   c.old_secret_hash, c.old_secret_key, c.old_secret_until, c.access_token_alg,
                   CASE WHEN c.is_active IS NULL THEN EXISTS (SELECT FROM clients WHERE id = \(id)) END AS is_locked,
                   clock_timestamp() AS now, (SELECT version FROM key_ring) AS ring
            FROM (SELECT true AS row) AS one
                 LEFT JOIN (
                     SELECT \(literal: file)
                     FROM clients
                     WHERE id = \(id)
                     \(literal: lock)
                 ) AS c ON true
            """
    }

    /// The lock alone, waited for: `read` comes after it, in a statement of its own whose snapshot is newer than the wait.
    package static func lockShared(_ id: String) -> Query {
        "SELECT id FROM clients WHERE id = \(id) FOR SHARE"
    }

    /// For a change: no token is minted and no session is born under the client until its commit.
    package static func lock(_ id: String) -> Query {
        "SELECT \(literal: columns) FROM clients WHERE id = \(id) FOR NO KEY UPDATE"
    }

    static func client(_ id: String) -> Query {
        "SELECT \(literal: columns) FROM clients WHERE id = \(id)"
    }

    static func clients(after id: String, limit: Int64) -> Query {
        "SELECT \(literal: columns) FROM clients WHERE id > \(id) ORDER BY id LIMIT \(limit)"
    }

    /// What clients that get tokens ask to have them signed by.
    static let algorithms: Query = """
        SELECT DISTINCT access_token_alg FROM clients WHERE access_token_alg IS NOT NULL AND status = 'active'
        """

    /// - Parameter epoch: for a client that gets tokens for itself.
    static func insert(
        _ id: String, _ client: ClientMetadata, _ secret: ClientSecretHash?, epoch: UniqueID
    ) -> Query {
        """
        INSERT INTO clients (
            id, name, auth_method, grant_types, redirect_uris, scopes, epoch, secret_hash, secret_key,
            access_token_alg)
        VALUES (
            \(id), \(client.name), \(client.authenticationMethod.rawValue), \(client.grantTypes.map(\.rawValue)),
            \(client.redirectURIs), \(client.scopes),
            CASE WHEN \(client.authenticationMethod.rawValue) <> 'none' THEN \(epoch) END,
            \(secret.map { Bytes($0.bytes) }), \(secret?.keyVersion), \(client.accessTokenAlgorithm?.rawValue))
        RETURNING \(literal: columns)
        """
    }

    /// Whether the tokens that the client got for itself, and the sessions under it, live on.
    package enum Epoch: Sendable {
        case goesOn
        /// Another begins, where the client has one.
        case ends(next: UniqueID)
    }

    private static func update(_ id: String, _ assignments: Query, _ epoch: Epoch) -> Query {
        let renewal: Query =
            switch epoch {
            case .goesOn: ""
            // A birth in flight was begun under another version.
            case .ends(let next):
                ", security_version = security_version + 1, epoch = CASE WHEN epoch IS NOT NULL THEN \(next) END"
            }
        return """
            UPDATE clients SET \(assignments)\(renewal) WHERE id = \(id)
            RETURNING \(literal: columns)
            """
    }

    package static func set(_ id: String, _ client: ClientMetadata, _ epoch: Epoch) -> Query {
        update(
            id,
            """
            name = \(client.name), auth_method = \(client.authenticationMethod.rawValue),
            grant_types = \(client.grantTypes.map(\.rawValue)), redirect_uris = \(client.redirectURIs),
            scopes = \(client.scopes), access_token_alg = \(client.accessTokenAlgorithm?.rawValue)
            """, epoch)
    }

    /// - Parameters:
    ///   - seconds: how long the present one is still accepted; the one before it is not any more.
    ///   - next: the epoch that begins where the present one is not.
    package static func rotateSecret(
        _ id: String, to new: ClientSecretHash, oldLives seconds: Int64, next: UniqueID
    ) -> Query {
        let old: Query =
            seconds > 0
            ? """
            old_secret_hash = secret_hash, old_secret_key = secret_key,
            old_secret_until = clock_timestamp() + \(seconds) * interval '1 second'
            """
            : "old_secret_hash = NULL, old_secret_key = NULL, old_secret_until = NULL"
        return update(
            id, "secret_hash = \(Bytes(new.bytes)), secret_key = \(new.keyVersion), \(old)",
            seconds > 0 ? .goesOn : .ends(next: next))
    }

    static func countSecrets(hashedUnder version: Int16) -> Query {
        """
        SELECT count(*) AS count
        FROM clients
        WHERE secret_key = \(version) OR old_secret_key = \(version) AND old_secret_until > clock_timestamp()
        """
    }

    /// The same secret under another version of the master key, unless it was rotated meanwhile.
    static func rehashSecret(_ id: String, from old: ClientSecretHash, to new: ClientSecretHash) -> Query {
        """
        UPDATE clients
        SET secret_hash = \(Bytes(new.bytes)), secret_key = \(new.keyVersion)
        WHERE id = \(id) AND secret_hash = \(Bytes(old.bytes)) AND secret_key = \(old.keyVersion)
        """
    }

    package static func disable(_ id: String, next: UniqueID) -> Query {
        update(id, "status = 'disabled'", .ends(next: next))
    }

    static func enable(_ id: String) -> Query {
        update(id, "status = 'active'", .goesOn)
    }

    /// Ends what was begun under the client, and changes nothing else of it.
    package static func end(_ id: String, next: UniqueID) -> Query {
        update(id, "status = status", .ends(next: next))
    }

    /// The clients that have an epoch to end, in one order, so that two such statements never deadlock.
    package static let lockAll: Query =
        "SELECT id, epoch FROM clients WHERE epoch IS NOT NULL ORDER BY id FOR NO KEY UPDATE"

    /// - Parameter epochs: one for each of `ids`, which begins.
    package static func endAll(_ ids: [String], epochs: [UniqueID]) -> Query {
        """
        UPDATE clients
        SET security_version = security_version + 1, epoch = next.epoch
        FROM unnest(\(ids), \(epochs)) AS next (id, epoch)
        WHERE clients.id = next.id
        """
    }
}
