import JOSE

/// A user as another system hands it over: the hash comes along, so that nobody needs a new password.
package struct ImportedUser: Sendable {
    let username: Username
    let email: EmailAddress?
    let phc: PHCString?
    let roles: [String]

    /// - Parameter json: one object with `username`, `phc`, `email`, `roles`; all but the first may be missing.
    package init(_ json: [UInt8]) throws {
        let body = try JSONBody(bytes: json)
        username = try RegistrationRoutes.username(try body.string("username"))
        email = try body.optionalString("email").map { try EmailAddress($0) }
        phc = try body.optionalString("phc").map { try Self.hash($0) }
        roles = try body.optionalStringArray("roles") ?? []
    }

    private static func hash(_ text: String) throws -> PHCString {
        guard let phc = try? PHCString(parsing: text) else {
            throw Rejection.invalidField("phc", reason: "It must be an argon2id PHC string.")
        }
        // Another system's pepper stays there.
        guard phc.pepperVersion == nil else {
            throw Rejection.invalidField("phc", reason: "It must be a hash without a keyid.")
        }
        return phc
    }
}

extension Users {
    /// The user with its roles, or nothing of it.
    /// - Throws: `Rejection.usernameTaken`, `.notFound` for a role.
    package func importUser(_ user: ImportedUser, origin: Origin) async throws {
        _ = try await insert(user.username, user.phc, email: user.email, roles: user.roles, origin: origin)
    }
}
