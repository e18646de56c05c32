/// A claim of an access token, by its name in the token (RFC 9068 §2.2, RFC 7519 §4.1).
package enum AccessTokenClaim: String, Sendable, CaseIterable {
    case issuer = "iss"
    case subject = "sub"
    case audience = "aud"
    case expiresAt = "exp"
    case issuedAt = "iat"
    case notBefore = "nbf"
    case tokenID = "jti"
    case clientID = "client_id"
    case sessionID = "sid"
    case authenticatedAt = "auth_time"
    case scope
    case roles
}

/// Why a payload is no access token. Names the claim, never its value: safe to log.
package enum AccessTokenClaimsError: Error, Equatable {
    case notJSON(JSONError)
    case notAnObject
    case missing(AccessTokenClaim)
    /// Of a wrong type, out of range, or not in its one canonical form.
    case invalid(AccessTokenClaim)
}

/// The claims of an access token (RFC 9068 §2.2). Times are seconds since 1970.
package struct AccessTokenClaims: Sendable, Equatable {
    /// The media type in the header's `typ`, without `application/` (RFC 9068 §2.1).
    package static let type = "at+jwt"

    package var issuer: String
    /// The user's id, or the client's for client credentials.
    package var subject: String
    /// At least one; a single one is written as a string (RFC 7519 §4.1.3).
    package var audience: [String]
    package var expiresAt: Int64
    package var issuedAt: Int64
    package var tokenID: UniqueID
    package var clientID: String
    /// The session, or the client's current epoch for client credentials.
    package var sessionID: UniqueID?
    /// When the user last authenticated (RFC 9068 §2.2.1).
    package var authenticatedAt: Int64?
    /// Each a scope-token of RFC 6749 §3.3; none is written as no claim.
    package var scopes: [String]
    /// RFC 9068 §2.2.3.1; none is written as no claim.
    package var roles: [String]
    /// For verifiers that speak the standard; written and never read: ours follow the feed.
    package var status: StatusListReference?

    package init(
        issuer: String, subject: String, audience: [String], expiresAt: Int64, issuedAt: Int64, tokenID: UniqueID,
        clientID: String, sessionID: UniqueID? = nil, authenticatedAt: Int64? = nil, scopes: [String] = [],
        roles: [String] = [], status: StatusListReference? = nil
    ) {
        self.issuer = issuer
        self.subject = subject
        self.audience = audience
        self.expiresAt = expiresAt
        self.issuedAt = issuedAt
        self.tokenID = tokenID
        self.clientID = clientID
        self.sessionID = sessionID
        self.authenticatedAt = authenticatedAt
        self.scopes = scopes
        self.roles = roles
        self.status = status
    }

    /// The payload of the token.
    package func encoded() -> [UInt8] {
        let claims: [(AccessTokenClaim, JSONValue?)] = [
            (.issuer, .string(issuer)),
            (.subject, .string(subject)),
            (.audience, audience.count == 1 ? .string(audience[0]) : .array(audience.map { .string($0) })),
            (.expiresAt, .integer(expiresAt)),
            (.issuedAt, .integer(issuedAt)),
            (.tokenID, .string(tokenID.text)),
            (.clientID, .string(clientID)),
            (.sessionID, sessionID.map { .string($0.text) }),
            (.authenticatedAt, authenticatedAt.map { .integer($0) }),
            (.scope, scopes.isEmpty ? nil : .string(scopes.joined(separator: " "))),
            (.roles, roles.isEmpty ? nil : .array(roles.map { .string($0) })),
        ]
        var payload = JSONObject(claims.map { ($0.0.rawValue, $0.1) })
        if let status { payload["status"] = status.json }
        return payload.encoded()
    }
}

/// Where a verifier finds a token's status: the claim `status` (draft-ietf-oauth-status-list §6.2).
package struct StatusListReference: Sendable, Equatable {
    package let index: UInt32
    /// Of the status list token, which has it as `sub`.
    package let uri: String

    package init(index: UInt32, uri: String) {
        self.index = index
        self.uri = uri
    }

    var json: JSONValue { ["status_list": ["idx": .integer(Int64(index)), "uri": .string(uri)]] }
}

extension AccessTokenClaims {
    /// Reads the payload of a token whose signature was verified. Claims that it does not know are ignored.
    ///
    /// - Throws: `AccessTokenClaimsError`; also for `nbf`, which Latchkey never mints: to ignore it would be to accept a
    ///   token too early (RFC 7519 §4.1.5).
    package init(parsing payload: [UInt8]) throws(AccessTokenClaimsError) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue.parse(payload) } catch { throw .notJSON(error) }
        guard let object = value.object else { throw .notAnObject }
        let claims = Reader(object: object)
        guard object[AccessTokenClaim.notBefore.rawValue] == nil else { throw .invalid(.notBefore) }
        self.init(
            issuer: try claims.required(.issuer, Self.text),
            subject: try claims.required(.subject, Self.text),
            audience: try claims.required(.audience, Self.audience),
            expiresAt: try claims.required(.expiresAt, Self.time),
            issuedAt: try claims.required(.issuedAt, Self.time),
            tokenID: try claims.required(.tokenID, Self.uniqueID),
            clientID: try claims.required(.clientID, Self.text),
            sessionID: try claims.optional(.sessionID, Self.uniqueID),
            authenticatedAt: try claims.optional(.authenticatedAt, Self.time),
            scopes: try claims.optional(.scope, Self.scopes) ?? [],
            roles: try claims.optional(.roles, Self.texts) ?? [])
    }

    private struct Reader {
        let object: JSONObject

        func optional<Value>(
            _ claim: AccessTokenClaim, _ read: (JSONValue) -> Value?
        ) throws(AccessTokenClaimsError) -> Value? {
            guard let json = object[claim.rawValue] else { return nil }
            guard let value = read(json) else { throw .invalid(claim) }
            return value
        }

        func required<Value>(
            _ claim: AccessTokenClaim, _ read: (JSONValue) -> Value?
        ) throws(AccessTokenClaimsError) -> Value {
            guard let value = try optional(claim, read) else { throw .missing(claim) }
            return value
        }
    }

    private static func text(_ value: JSONValue) -> String? { value.string.flatMap { $0.isEmpty ? nil : $0 } }

    private static func texts(_ value: JSONValue) -> [String]? {
        value.strings.flatMap { $0.contains("") ? nil : $0 }
    }

    private static func audience(_ value: JSONValue) -> [String]? {
        if let single = text(value) { return [single] }
        return texts(value).flatMap { $0.isEmpty ? nil : $0 }
    }

    /// An integer, not negative, small enough that no leeway added to it can overflow. Fractions are allowed by RFC 7519
    /// §2, but Latchkey mints none, and parsers round them differently.
    private static func time(_ value: JSONValue) -> Int64? { value.int.flatMap { 0...(1 << 53) ~= $0 ? $0 : nil } }

    private static func uniqueID(_ value: JSONValue) -> UniqueID? { value.string.flatMap { UniqueID(text: $0) } }

    /// RFC 6749 §3.3: tokens of `%x21 / %x23-5B / %x5D-7E`, one space between two.
    private static func scopes(_ value: JSONValue) -> [String]? {
        guard let text = value.string else { return nil }
        let tokens = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
        let isValid = tokens.allSatisfy { token in
            !token.isEmpty && token.allSatisfy { 0x21...0x7e ~= $0 && $0 != 0x22 && $0 != 0x5c }
        }
        return isValid ? tokens.map { String(decoding: $0, as: UTF8.self) } : nil
    }
}
