package import JOSE
package import Postgres

package struct UserID: Sendable, Hashable {
    package let id: UniqueID

    package init(_ id: UniqueID) {
        self.id = id
    }

    package var text: String { id.text }
}

/// A user as others may see it: never the hash.
package struct User: Sendable {
    package enum Status: String, Sendable {
        case active
        case disabled
    }

    package let id: UserID
    package let username: String
    package let email: String?
    package let status: Status
    package let createdAt: Instant
    /// Names, sorted.
    package let roles: [String]
    /// What the roles carry, sorted, each once.
    package let roleScopes: [String]

    init(_ row: ResultSet.Row) throws(PostgresError) {
        guard let status = Status(rawValue: try row.decode("status")) else { throw .undecodable(column: "status") }
        id = UserID(try row.decode("id"))
        username = try row.decode("username")
        email = try row.decodeIfPresent("email")
        self.status = status
        createdAt = try row.decode("created_at")
        roles = try row.decode("roles")
        roleScopes = try row.decode("role_scopes")
    }
}

/// What a login needs to know of an account before it hashes.
package struct Credentials: Sendable {
    package let id: UserID
    package let status: User.Status
    package let securityVersion: Int64
    /// Raised by every change of the password; at most 32 bits.
    package let passwordVersion: Int64
    /// nil where there is no such client.
    package let clientVersion: Int64?
    /// nil: no password opens this account.
    package let phc: PHCString?

    init(_ row: ResultSet.Row) throws(PostgresError) {
        guard let status = User.Status(rawValue: try row.decode("status")) else { throw .undecodable(column: "status") }
        id = UserID(try row.decode("id"))
        self.status = status
        securityVersion = try row.decode("security_version")
        passwordVersion = try row.decode("password_version")
        clientVersion = try row.decodeIfPresent("client_version")
        phc = try row.decodeIfPresent("phc", as: String.self).flatMap { try? PHCString(parsing: $0) }
    }

    /// The hash that a password is compared with: none for a disabled account, which must look like any other failure.
    package var effectivePHC: PHCString? { status == .active ? phc : nil }
}
