package import JOSE
package import LibCrypto
package import Postgres

// Clients: which OAuth clients there are (RFC 6749 §2), what each is registered for, how each proves who it is. This room
// owns the table `clients`; what ends a client's tokens and the sessions under it lives above, in `Sessions`.

/// How a client gets tokens (RFC 7591 §2, `grant_types`).
package enum GrantType: String, Sendable, CaseIterable {
    case authorizationCode = "authorization_code"
    case clientCredentials = "client_credentials"
    case refreshToken = "refresh_token"

    /// By its bytes; nil for what we do not know.
    package init?(text: String) {
        guard let type = Self.allCases.first(where: { $0.rawValue.isSameText(as: text) }) else { return nil }
        self = type
    }
}

/// How a client proves who it is (RFC 7591 §2, `token_endpoint_auth_method`): by one of these, and by no other.
package enum ClientAuthenticationMethod: String, Sendable, CaseIterable {
    /// A public client: it names itself.
    case none
    case clientSecretBasic = "client_secret_basic"
    case clientSecretPost = "client_secret_post"

    /// By its bytes; nil for what we do not know.
    package init?(text: String) {
        guard let method = Self.allCases.first(where: { $0.rawValue.isSameText(as: text) }) else { return nil }
        self = method
    }
}

extension SignatureAlgorithm {
    /// What the client of `row` wants its access tokens signed by, where `row` is a client's or what a token is minted
    /// from; nil: the installation's.
    package init?(ofClient row: ResultSet.Row) throws(PostgresError) {
        guard let text: String = try row.decodeIfPresent("access_token_alg") else { return nil }
        guard let algorithm = SignatureAlgorithm(text: text) else { throw .undecodable(column: "access_token_alg") }
        self = algorithm
    }
}

/// An OAuth client.
package struct Client: Sendable {
    /// The built-in public client of sessions that are opened by name and password.
    package static let firstParty = "first-party"

    package let id: String
    package let metadata: ClientMetadata
    package let isActive: Bool
    package let createdAt: Instant
    /// The `sid` of the tokens that the client gets for itself now; nil for a public client, which gets none.
    package let epoch: UniqueID?
    /// Until when the secret before the present one is accepted, where it still is.
    package let oldSecretUntil: Instant?

    package init(_ row: ResultSet.Row) throws(PostgresError) {
        id = try row.decode("id")
        metadata = try ClientMetadata(row)
        isActive = try row.decode("is_active")
        createdAt = try row.decode("created_at")
        epoch = try row.decodeIfPresent("epoch")
        oldSecretUntil = try row.decodeIfPresent("old_secret_until")
    }

    /// - Throws: `Rejection.conflict` for the built-in client: without it nobody could log in.
    package func requireChangeable() throws(Rejection) {
        guard !id.isSameText(as: Self.firstParty) else {
            throw .conflict(code: "built-in-client", detail: "The built-in client can be neither changed nor disabled.")
        }
    }
}
