package import Postgres

/// A role: a name for scopes that its holders' tokens carry.
package struct Role: Sendable {
    package let name: String
    package let scopes: [String]
    package let holders: Int64
}

/// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
package struct Scope: Sendable {
    package let text: String

    package init?(_ text: String) {
        guard (1...128).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C })
        else { return nil }
        self.text = text
    }

    /// The scopes of a space-separated list, each once, in order.
    package static func list(_ text: String) throws -> [String] {
        var seen: Set<String> = []
        var scopes: [String] = []
        for part in text.utf8.split(separator: 0x20) {
            guard let scope = Scope(String(decoding: part, as: UTF8.self)) else { throw Rejection.invalidScope }
            if seen.insert(scope.text).inserted { scopes.append(scope.text) }
        }
        return scopes
    }
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

    package func create(_ name: String, scopes: [String], origin: Origin) async throws {
        for scope in scopes where Scope(scope) == nil {
            throw Rejection.invalidField("scopes", reason: "a scope is 1 to 128 printable ASCII characters, no quotes")
        }
        do {
            try await database.batch([
                UserSQL.createRole(name, scopes), Event.roleCreated(role: name, scopes: scopes).row(origin),
            ])
        } catch {
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
