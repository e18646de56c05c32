package import HTTPTypes
package import LatchkeyVerifier

/// What the service behind is told of the caller: a field each, `X-Auth-…`. A value is the token's own, each byte that is
/// not visible ASCII, and `%`, percent-encoded; lists have a space between two. What the token has not is no field.
package struct IdentityFields: Sendable {
    package enum Field: String, CaseIterable, Sendable {
        /// The user's id, or the client's where the client acts for itself: then it is `X-Auth-Client`, too.
        case subject = "X-Auth-Subject"
        case client = "X-Auth-Client"
        case scope = "X-Auth-Scope"
        case roles = "X-Auth-Roles"
        case session = "X-Auth-Session"
        case token = "X-Auth-Token-Id"
        /// Seconds since 1970.
        case expires = "X-Auth-Expires"

        var name: HTTPField.Name { HTTPField.Name(fixed: rawValue) }
    }

    private let values: [(field: Field, value: String)]

    package init(_ token: AccessToken) {
        self.init([
            .subject: [token.subject], .client: [token.clientID], .scope: token.scopes, .roles: token.roles,
            .session: token.sessionID.map { [$0] } ?? [], .token: [token.tokenID], .expires: ["\(token.expiresAt)"],
        ])
    }

    package init(_ words: [Field: [String]]) {
        values = Field.allCases.compactMap { field in
            guard let words = words[field], !words.isEmpty else { return nil }
            return (field, words.map(Self.encoded).joined(separator: " "))
        }
    }

    package var fields: HTTPFields {
        HTTPFields(values.map { HTTPField(name: $0.field.name, value: $0.value) })
    }

    /// Fields that the token has nothing for. A proxy that adds fields to a caller's must take these out, or his own
    /// would stand.
    package var absent: [Field] {
        Field.allCases.filter { field in !values.contains { $0.field == field } }
    }

    /// Whether a caller's field could be taken for one of these: also `X_Auth_Subject` and `X.Auth.Subject`. CGI, WSGI and
    /// PHP spell the first as they spell `X-Auth-Subject`, and some servers make of every byte that is neither a letter
    /// nor a digit what they make of `-`.
    package static func isReserved(_ name: HTTPField.Name) -> Bool {
        name.canonicalName.utf8.map { isAlphanumeric($0) ? $0 : UInt8(ascii: "-") }.starts(with: "x-auth-".utf8)
    }

    /// Whether it is one in another spelling: a proxy that replaces the caller's fields by name does not find it.
    package static func isDisguised(_ name: HTTPField.Name) -> Bool {
        isReserved(name) && !name.canonicalName.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }

    /// - Parameter byte: of a name in lower case.
    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
    }

    private static func encoded(_ text: String) -> String {
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            if 0x21...0x7E ~= byte, byte != UInt8(ascii: "%") {
                encoded.append(byte)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += "%\(digits.utf8.count == 1 ? "0" : "")\(digits)".utf8
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }
}

extension HTTPField.Name {
    /// A name of this program's, known to be a token (RFC 9110 §5.6.2).
    init(fixed name: String) {
        guard let parsed = HTTPField.Name(name) else { preconditionFailure("not a field name") }
        self = parsed
    }
}
