import Foundation
import JOSE
import LibCrypto
package import Postgres

/// Accounts: who there is, what their passwords hash to, which roles they hold. What ends sessions (disabling, a changed
/// password, a role taken away) lives above, in `Sessions`.
package struct Users: Sendable {
    package let database: Database
    package let hasher: PasswordHasher

    package init(_ database: Database, hasher: PasswordHasher) {
        self.database = database
        self.hasher = hasher
    }

    /// A new account with its roles, or nothing of it. The hash is computed before a connection is taken.
    /// - Throws: `Rejection.usernameTaken`, `.notFound` for a role, `.overloaded`.
    package func register(
        _ username: Username, _ password: Password?, email: EmailAddress?, roles: [String] = [], origin: Origin,
        once: Once<User>? = nil
    ) async throws -> User {
        let phc: PHCString? = if let password { try await hash(password) } else { nil }
        return try await insert(username, phc, email: email, roles: roles, origin: origin, once: once)
    }

    func insert(
        _ username: Username, _ phc: PHCString?, email: EmailAddress?, roles: [String], origin: Origin,
        once: Once<User>? = nil
    ) async throws -> User {
        let id = Self.newID()
        var statements = [
            UserSQL.insert(id, username, email: email, phc: phc),
            Event.userRegistered(user: id.text, username: username.text).row(origin),
        ]
        for role in roles {
            statements.append(UserSQL.grant(role, to: id))
            statements.append(Event.roleGranted(user: id.text, role: role).row(origin))
        }
        statements.append(UserSQL.user(id))
        do {
            return try await database.create(statements, once) { results in try User(results[results.count - 1].one()) }
        } catch let error as PostgresError {
            switch error.constraint {
            case "users_username_is_unique": throw Rejection.usernameTaken
            case "user_roles_role_fkey": throw Rejection.notFound(what: "role")
            default:
                // Its id is nobody else's: where it is there, this is what was committed.
                if error == .unknownOutcome, let user = try? await found(id) { return user }
                throw error
            }
        }
    }

    /// The lock makes the commit a write: it comes behind the one whose answer was lost.
    private func found(_ id: UserID) async throws(PostgresError) -> User? {
        guard let row = try await database.batch([UserSQL.lock(id), UserSQL.user(id)])[1].first else { return nil }
        return try User(row)
    }

    static func newID() -> UserID {
        let milliseconds = Int64(Date().timeIntervalSince1970 * 1000)
        return UserID(.version7(millisecondsSince1970: milliseconds, random: SecureRandom.bytes(10)))
    }

    /// - Throws: `Rejection.overloaded`.
    package func hash(_ password: Password) async throws -> PHCString {
        do {
            return try await hasher.hash(password)
        } catch {
            throw Rejection(error)
        }
    }

    package func credentials(_ username: Username, clientID: String) async throws(PostgresError) -> Credentials? {
        try await credentials(UserSQL.credentials(username.text, clientID: clientID))
    }

    package func credentials(_ id: UserID, clientID: String) async throws(PostgresError) -> Credentials? {
        try await credentials(UserSQL.credentials(id, clientID: clientID))
    }

    private func credentials(_ query: Query) async throws(PostgresError) -> Credentials? {
        guard let row = try await database.grouped(query).first else { return nil }
        return try Credentials(row)
    }

    package func user(_ id: UserID) async throws(PostgresError) -> User? {
        guard let row = try await database.grouped(UserSQL.user(id)).first else { return nil }
        return try User(row)
    }

    /// By name, or by id where the text is one: never another user who took a deleted one's id for a name.
    package func find(_ nameOrID: String) async throws -> User {
        if let id = UniqueID(text: nameOrID) {
            guard let user = try await user(UserID(id)) else { throw Rejection.notFound(what: "user") }
            return user
        }
        guard let username = try? Username(nameOrID),
            let row = try await database.query(UserSQL.user(named: username.text)).first
        else { throw Rejection.notFound(what: "user") }
        return try User(row)
    }

    /// In the order of names, after `name`.
    package func list(after name: String, limit: Int64) async throws(PostgresError) -> [User] {
        var users: [User] = []
        for row in try await database.query(UserSQL.users(after: name, limit: limit)).rows {
            users.append(try User(row))
        }
        return users
    }

    /// How many hashes were made with the pepper of that version of the master key.
    package func count(pepperedUnder version: Int16) async throws(PostgresError) -> Int64 {
        try await database.lease(timeout: 60_000_000_000) { lease throws(PostgresError) in
            try await lease.query(UserSQL.count(holding: "\(PHCString.keyID(version))$")).one().decode("count")
        }
    }

    package func enable(_ id: UserID, origin: Origin) async throws {
        try await database.transaction { transaction in
            guard try await transaction.query(UserSQL.enable(id)).affected == 1 else {
                throw Rejection.notFound(what: "user")
            }
            try await transaction.commit([Event.userEnabled(user: id.text).row(origin)])
        }
    }

    /// Shows at the user's next refresh.
    package func grant(_ role: String, to id: UserID, origin: Origin) async throws {
        do {
            try await database.batch([
                UserSQL.grant(role, to: id), Event.roleGranted(user: id.text, role: role).row(origin),
            ])
        } catch  where error.sqlState == "23503" {
            throw Rejection.notFound(what: error.constraint == "user_roles_role_fkey" ? "role" : "user")
        }
    }

    /// What a password login computed anew with the settings' parameters, kept unless the password has changed since.
    package func upgrade(_ id: UserID, from old: PHCString, with password: Password) async throws {
        let new = try await hasher.hash(password)
        try await database.query(UserSQL.upgrade(id, from: old.text, to: new.text))
    }
}
