import JOSE
package import LibCrypto
import Postgres

/// What a client is registered for, in the terms of RFC 7591 §2.
package struct ClientMetadata: Sendable, Equatable {
    /// Shown to people: 1 to 256 bytes, no control characters.
    package let name: String
    package let grantTypes: [GrantType]
    package let authenticationMethod: ClientAuthenticationMethod
    /// Compared byte for byte (RFC 9700 §2.1).
    package let redirectURIs: [String]
    /// The most that it may ask for.
    package let scopes: [String]
    /// By what its access tokens are signed, once a key of that algorithm may sign; nil: by the installation's.
    package let accessTokenAlgorithm: SignatureAlgorithm?

    init(_ row: ResultSet.Row) throws(PostgresError) {
        name = try row.decode("name")
        grantTypes = try row.decode("grant_types", as: [String].self).compactMap { GrantType(text: $0) }
        guard let method = ClientAuthenticationMethod(text: try row.decode("auth_method")) else {
            throw .undecodable(column: "auth_method")
        }
        authenticationMethod = method
        redirectURIs = try row.decode("redirect_uris")
        scopes = try row.decode("scopes")
        accessTokenAlgorithm = try SignatureAlgorithm(ofClient: row)
    }

    /// What `request` makes of `old`, or of the defaults: `client_credentials` by `client_secret_basic`.
    ///
    /// - Throws: `Rejection.invalidField`, `.missingField`.
    package init(_ request: ClientRequest, over old: ClientMetadata?) throws(Rejection) {
        guard let name = request.name ?? old?.name else { throw .missingField("client_name") }
        self.name = try Self.checked(name: name)
        grantTypes = try request.grantTypes.map(Self.checked(grantTypes:)) ?? old?.grantTypes ?? [.clientCredentials]
        authenticationMethod =
            try request.authenticationMethod.map(Self.checked(method:)) ?? old?.authenticationMethod
            ?? .clientSecretBasic
        redirectURIs = try request.redirectURIs.map(Self.checked(redirectURIs:)) ?? old?.redirectURIs ?? []
        scopes = try request.scope.map(Self.checked(scope:)) ?? old?.scopes ?? []
        if let asked = request.accessTokenAlgorithm {
            accessTokenAlgorithm = try Self.checked(algorithm: asked)
        } else {
            accessTokenAlgorithm = old?.accessTokenAlgorithm
        }

        // A secret is made at registration and at a rotation, and nowhere else.
        if let old, (old.authenticationMethod == .none) != (authenticationMethod == .none) {
            throw .invalidField(
                "token_endpoint_auth_method",
                reason: "A client with a secret and one without are two clients: make another one.")
        }
        if authenticationMethod == .none, grantTypes.contains(.clientCredentials) {
            throw .invalidField(
                "grant_types", reason: "Only a client that authenticates may use client_credentials (RFC 6749 §4.4).")
        }
        if grantTypes.contains(.authorizationCode), redirectURIs.isEmpty {
            throw .invalidField("redirect_uris", reason: "A client that uses authorization_code has at least one.")
        }
    }

    /// Whether tokens that were minted under `old` may hold what a client registered like this may not have.
    package func isNarrower(than old: ClientMetadata) -> Bool {
        !old.scopes.allSatisfy { Scope.list(scopes, holds: $0) } || !old.grantTypes.allSatisfy(grantTypes.contains)
    }

    private static func checked(name: String) throws(Rejection) -> String {
        guard (1...256).contains(name.utf8.count),
            name.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control })
        else {
            throw .invalidField("client_name", reason: "It is 1 to 256 bytes without control characters.")
        }
        return name
    }

    private static func checked(grantTypes: [String]) throws(Rejection) -> [GrantType] {
        var types: [GrantType] = []
        for text in grantTypes {
            guard let type = GrantType(text: text), !types.contains(type) else {
                let known = GrantType.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalidField("grant_types", reason: "They are of \(known), each once.")
            }
            types.append(type)
        }
        guard !types.isEmpty else { throw .invalidField("grant_types", reason: "A client has at least one.") }
        return types
    }

    private static func checked(method: String) throws(Rejection) -> ClientAuthenticationMethod {
        guard let method = ClientAuthenticationMethod(text: method) else {
            let known = ClientAuthenticationMethod.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalidField("token_endpoint_auth_method", reason: "It is one of \(known).")
        }
        return method
    }

    /// What a client says that wants the installation's algorithm again.
    private static let installationAlgorithm = "default"

    private static func checked(algorithm: String) throws(Rejection) -> SignatureAlgorithm? {
        if algorithm.isSameText(as: installationAlgorithm) { return nil }
        guard let algorithm = SignatureAlgorithm(text: algorithm) else {
            let known = SignatureAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
            throw .invalidField(
                "access_token_signed_response_alg",
                reason: "It is one of \(known), or \(installationAlgorithm) for the installation's.")
        }
        return algorithm
    }

    /// Together they are at most 2,000 bytes: they stand in every token.
    private static func checked(scope: String) throws(Rejection) -> [String] {
        guard scope.utf8.count <= 2000, let scopes = try? Scope.list(scope) else {
            throw .invalidField(
                "scope", reason: "Scopes are printable ASCII without quotes, a space between two, 2000 bytes in all.")
        }
        guard !Scope.list(scopes, holds: Scope.account) else {
            throw .invalidField("scope", reason: "The scope account is of users alone.")
        }
        return scopes
    }

    private static func checked(redirectURIs: [String]) throws(Rejection) -> [String] {
        guard redirectURIs.count <= 20, redirectURIs.allSatisfy(isRedirectURI) else {
            throw .invalidField(
                "redirect_uris",
                reason: "They are at most 20 absolute URIs without fragment: https, http of the loopback, or a private "
                    + "scheme with a dot.")
        }
        return redirectURIs
    }

    /// RFC 6749 §3.1.2 and RFC 8252 §7. By bytes: a URL that is parsed and written again may name another host.
    private static func isRedirectURI(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count <= 2000,
            bytes.allSatisfy({ (0x21...0x7E).contains($0) && !#"#"<>\^`{|}"#.utf8.contains($0) })
        else { return false }
        func hasHost(after start: String) -> Bool {
            guard bytes.starts(with: start.utf8) else { return false }
            let authority = bytes.dropFirst(start.utf8.count).prefix { $0 != 0x2F && $0 != 0x3F }
            return !authority.isEmpty && !authority.contains(UInt8(ascii: "@"))
        }
        if hasHost(after: "https://") { return true }
        for loopback in ["http://127.0.0.1", "http://[::1]", "http://localhost"] where bytes.starts(with: loopback.utf8)
        {
            let next = bytes.dropFirst(loopback.utf8.count).first
            // To the end of the host: http://localhost.evil.example is not it, nor is a name before an @.
            return (next == nil || next == 0x2F || next == 0x3A || next == 0x3F) && hasHost(after: "http://")
        }
        let scheme = bytes.prefix { $0 != UInt8(ascii: ":") }
        return scheme.count < bytes.count && scheme.contains(UInt8(ascii: "."))
            && scheme.allSatisfy { byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || [0x2B, 0x2D, 0x2E].contains(byte)
            } && scheme.first.map { (0x61...0x7A).contains($0) } == true
    }
}

/// What is asked for a client, at its registration or at a change: nil is a default, or stays.
package struct ClientRequest: Sendable {
    package var name: String?
    package var grantTypes: [String]?
    package var authenticationMethod: String?
    package var redirectURIs: [String]?
    /// Separated by spaces, as in RFC 7591.
    package var scope: String?
    /// A JWS `alg`, or `default`.
    package var accessTokenAlgorithm: String?

    package init(
        name: String? = nil, grantTypes: [String]? = nil, authenticationMethod: String? = nil,
        redirectURIs: [String]? = nil, scope: String? = nil, accessTokenAlgorithm: String? = nil
    ) {
        self.name = name
        self.grantTypes = grantTypes
        self.authenticationMethod = authenticationMethod
        self.redirectURIs = redirectURIs
        self.scope = scope
        self.accessTokenAlgorithm = accessTokenAlgorithm
    }
}

/// By whose right a client gets scopes.
package enum ScopeAuthority: Sendable {
    /// A command at the machine.
    case everything
    /// The bearer of a token with these scopes.
    case bearer(scopes: [String])

    /// Nobody gives a client, or gets by a client's secret, a scope of Latchkey's own API that he does not carry
    /// himself: `clients:write` would be as good as every one of them.
    ///
    /// - Throws: `Rejection.insufficientScope`.
    package func require(_ scopes: [String]) throws(Rejection) {
        guard case .bearer(let carried) = self else { return }
        for scope in scopes where Scope.list(Scope.administrative, holds: scope) {
            guard Scope.list(carried, holds: scope) else { throw .insufficientScope(scope) }
        }
    }
}
