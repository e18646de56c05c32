package import Postgres

/// A role: a name for scopes that its holders' tokens carry.
package struct Role: Sendable {
    package let name: String
    package let scopes: [String]
    package let holders: Int64
}

package struct Roles: Sendable {
    private let database: Database

    package init(_ database: Database) {
        self.database = database
    }

    package func list() async throws(PostgresError) -> [Role] {
        var roles: [Role] = []
        for row in try await database.query(UserSQL.roles).rows {
            roles.append(
                Role(name: try row.decode("name"), scopes: try row.decode("scopes"), holders: try row.decode("holders"))
            )
        }
        return roles
    }

    /// - Throws: `Rejection.conflict` where there is one of that name, `.invalidField`.
    @discardableResult
    package func create(
        _ name: String, scopes: [String], origin: Origin, once: Once<Role>? = nil
    ) async throws -> Role {
        for scope in scopes where Scope(scope) == nil {
            throw Rejection.invalidField("scopes", reason: "a scope is 1 to 128 printable ASCII characters, no quotes")
        }
        let statements = [
            UserSQL.createRole(name, scopes), Event.roleCreated(role: name, scopes: scopes).row(origin),
        ]
        do {
            return try await database.create(statements, once) { _ in Role(name: name, scopes: scopes, holders: 0) }
        } catch let error as PostgresError {
            switch error.constraint {
            case "roles_pkey":
                throw Rejection.conflict(code: "role-exists", detail: "A role of that name exists already.")
            case "roles_name_is_a_token":
                throw Rejection.invalidField("name", reason: "a role's name is 1 to 64 of a-z 0-9 . _ : -")
            default: throw error
            }
        }
    }
}
