import JOSE
package import Postgres

/// Every statement on `users`, `roles` and `user_roles`.
package enum UserSQL {
    /// What the session of a user carries, for a statement in which `user_id` names the user: part of every minting
    /// statement, so that a role shows at the next refresh and is never read from a cache.
    package static let rolesOfUserID: StaticString = """
        ARRAY(SELECT g.role FROM user_roles g WHERE g.user_id = s.user_id ORDER BY g.role) AS roles,
        ARRAY(
            SELECT DISTINCT unnest(r.scopes) AS scope
            FROM user_roles g JOIN roles r ON r.name = g.role
            WHERE g.user_id = s.user_id
            ORDER BY scope
        ) AS role_scopes
        """

    private static let columns: StaticString = """
        s.user_id AS id, u.username, u.email, u.status, u.created_at
        """

    static func insert(_ id: UserID, _ username: Username, email: EmailAddress?, phc: PHCString?) -> Query {
        """
        INSERT INTO users (id, username, email, email_folded, phc, password_changed_at)
        VALUES (\(id.id), \(username.text), \(email?.given), \(email?.folded), \(phc?.text), clock_timestamp())
        RETURNING created_at
        """
    }

    /// What a password is checked against, with the versions that the session's birth must find unchanged.
    private static func credentials(clientID: String) -> Query {
        """
        SELECT id, status, security_version, password_version, phc,
               (SELECT c.security_version FROM clients c WHERE c.id = \(clientID)) AS client_version
        FROM users
        """
    }

    static func credentials(_ username: String, clientID: String) -> Query {
        "\(credentials(clientID: clientID)) WHERE username = \(username)"
    }

    static func credentials(_ id: UserID, clientID: String) -> Query {
        "\(credentials(clientID: clientID)) WHERE id = \(id.id)"
    }

    static func lock(_ id: UserID) -> Query { "SELECT id FROM users WHERE id = \(id.id) FOR NO KEY UPDATE" }

    static func user(_ id: UserID) -> Query {
        """
        SELECT \(literal: columns), \(literal: rolesOfUserID)
        FROM (SELECT \(id.id)::uuid AS user_id) s JOIN users u ON u.id = s.user_id
        """
    }

    static func user(named username: String) -> Query {
        """
        SELECT \(literal: columns), \(literal: rolesOfUserID)
        FROM (SELECT id AS user_id FROM users WHERE username = \(username)) s JOIN users u ON u.id = s.user_id
        """
    }

    static func users(after username: String, limit: Int64) -> Query {
        """
        SELECT \(literal: columns), \(literal: rolesOfUserID)
        FROM (SELECT id AS user_id FROM users WHERE username > \(username) ORDER BY username LIMIT \(limit)) s
             JOIN users u ON u.id = s.user_id
        ORDER BY u.username
        """
    }

    /// A parameter upgrade at login: it cannot undo a password change that came in between.
    static func upgrade(_ id: UserID, from old: String, to new: String) -> Query {
        "UPDATE users SET phc = \(new) WHERE id = \(id.id) AND phc = \(old)"
    }

    /// Those that follow raise `security_version`: what was begun under the old one gives birth to no session. They
    /// lock the user in a mode that conflicts with a birth's FOR SHARE, and come before the user's sessions are ended. This
    /// one raises `password_version` too, and so voids every device that the user is known by.
    package static func setPassword(_ id: UserID, _ phc: PHCString, ifVersion version: Int64?) -> Query {
        """
        UPDATE users
        SET phc = \(phc.text), password_changed_at = clock_timestamp(), security_version = security_version + 1,
            password_version = password_version + 1
        WHERE id = \(id.id) AND (\(version) IS NULL OR security_version = \(version))
        """
    }

    package static func disable(_ id: UserID) -> Query {
        """
        UPDATE users SET status = 'disabled', security_version = security_version + 1 WHERE id = \(id.id)
        """
    }

    /// A birth that waits for the row finds none, as it would find another version. The roles go with it.
    package static func delete(_ id: UserID) -> Query { "DELETE FROM users WHERE id = \(id.id)" }

    package static func enable(_ id: UserID) -> Query {
        "UPDATE users SET status = 'active' WHERE id = \(id.id)"
    }

    package static func raiseVersion(_ id: UserID) -> Query {
        "UPDATE users SET security_version = security_version + 1 WHERE id = \(id.id)"
    }

    /// Several users in one order, so that two such statements never deadlock.
    package static func raiseVersionOfHolders(_ role: String) -> Query {
        """
        UPDATE users SET security_version = security_version + 1
        WHERE id IN (
            SELECT u.id FROM users u JOIN user_roles g ON g.user_id = u.id
            WHERE g.role = \(role)
            ORDER BY u.id FOR NO KEY UPDATE OF u)
        RETURNING id
        """
    }

    static let raiseVersionOfAll: Query = """
        UPDATE users SET security_version = security_version + 1
        WHERE id IN (SELECT id FROM users ORDER BY id FOR NO KEY UPDATE)
        """

    /// Reads every hash: for a command, not for a request.
    static func count(holding part: String) -> Query {
        "SELECT count(*) AS count FROM users WHERE position(\(part) IN phc) > 0"
    }

    static func grant(_ role: String, to id: UserID) -> Query {
        "INSERT INTO user_roles (user_id, role) VALUES (\(id.id), \(role)) ON CONFLICT DO NOTHING"
    }

    package static func revoke(_ role: String, from id: UserID) -> Query {
        "DELETE FROM user_roles WHERE user_id = \(id.id) AND role = \(role)"
    }

    static let roles: Query = """
        SELECT name, scopes, (SELECT count(*) FROM user_roles g WHERE g.role = r.name) AS holders
        FROM roles r ORDER BY name
        """

    static func createRole(_ name: String, _ scopes: [String]) -> Query {
        "INSERT INTO roles (name, scopes) VALUES (\(name), \(scopes))"
    }

    /// Held while a role is narrowed or deleted: no grant comes in between.
    package static func lockRole(_ name: String) -> Query {
        "SELECT scopes FROM roles WHERE name = \(name) FOR UPDATE"
    }

    package static func setScopes(_ name: String, _ scopes: [String]) -> Query {
        "UPDATE roles SET scopes = \(scopes) WHERE name = \(name)"
    }

    package static func revokeFromAll(_ role: String) -> Query {
        "DELETE FROM user_roles WHERE role = \(role)"
    }

    package static func deleteRole(_ name: String) -> Query {
        "DELETE FROM roles WHERE name = \(name)"
    }
}
