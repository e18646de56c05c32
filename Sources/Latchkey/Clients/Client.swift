package import Postgres

/// An OAuth client (RFC 6749 §2). So far there is one, built in: the public client of sessions that are opened by name
/// and password.
package enum Client {
    package static let firstParty = "first-party"
}

/// Every statement on `clients`.
package enum ClientSQL {
    /// Raises what a session's birth under this client must agree with.
    package static func raiseVersion(_ id: String) -> Query {
        "UPDATE clients SET security_version = security_version + 1 WHERE id = \(id)"
    }
}
