import JOSE
import LibCrypto
import Testing

@Suite struct AccessTokenClaimSets {
    private static let id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    private static let base: JSONObject = [
        "iss": "https://id.example", "sub": "u1", "aud": "https://api.example", "exp": 1_700_000_600,
        "iat": 1_700_000_000, "jti": .string(id), "client_id": "web",
    ]

    private static func claims(audience: [String] = ["https://api.example"]) throws -> AccessTokenClaims {
        AccessTokenClaims(
            issuer: "https://id.example", subject: "u1", audience: audience, expiresAt: 1_700_000_600,
            issuedAt: 1_700_000_000, tokenID: try #require(UniqueID(text: id)), clientID: "web",
            sessionID: UniqueID(text: id), authenticatedAt: 1_699_999_000, scopes: ["account", "users:read"],
            roles: ["admin"])
    }

    @Test func `the claims are written by their names, a single audience as a string`() throws {
        let expected = """
            {"iss":"https://id.example","sub":"u1","aud":"https://api.example","exp":1700000600,"iat":1700000000,\
            "jti":"\(Self.id)","client_id":"web","sid":"\(Self.id)","auth_time":1699999000,\
            "scope":"account users:read","roles":["admin"]}
            """
        #expect(String(decoding: try Self.claims().encoded(), as: UTF8.self) == expected)
    }

    /// Its shape is that of draft-ietf-oauth-status-list §6.2.
    @Test func `the place of a token's status is written last, and ignored when it is read`() throws {
        var claims = try Self.claims()
        let without = String(decoding: claims.encoded(), as: UTF8.self)
        claims.status = StatusListReference(index: 0, uri: "https://example.com/statuslists/1")
        let status = #"{"status_list":{"idx":0,"uri":"https://example.com/statuslists/1"}}"#
        #expect(String(decoding: claims.encoded(), as: UTF8.self) == without.dropLast() + #","status":\#(status)}"#)
        #expect(try AccessTokenClaims(parsing: claims.encoded()) == Self.claims())
    }

    @Test("claims that were written are read again", arguments: [["a"], ["a", "b"]])
    func roundTrip(audience: [String]) throws {
        let claims = try Self.claims(audience: audience)
        #expect(try AccessTokenClaims(parsing: claims.encoded()) == claims)
    }

    @Test func `optional claims may be absent, unknown ones are ignored`() throws {
        var object = Self.base
        object["x"] = ["nbf": 1]
        let claims = try AccessTokenClaims(parsing: object.encoded())
        #expect(claims.sessionID == nil && claims.authenticatedAt == nil)
        #expect(claims.scopes.isEmpty && claims.roles.isEmpty)
    }

    @Test("a missing claim is named", arguments: ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"])
    func missing(name: String) throws {
        var object = Self.base
        object[name] = nil
        let claim = try #require(AccessTokenClaim(rawValue: name))
        #expect(throws: AccessTokenClaimsError.missing(claim)) { try AccessTokenClaims(parsing: object.encoded()) }
    }

    @Test(
        "a claim of a wrong type or out of range is named",
        arguments: [
            ("iss", nil), ("iss", 1), ("iss", ""), ("iss", ["https://id.example"]), ("sub", nil), ("sub", 7),
            ("sub", ""),
            ("aud", nil), ("aud", 1), ("aud", ""), ("aud", []), ("aud", ["a", 1]), ("aud", ["a", ""]), ("aud", [["a"]]),
            ("aud", ["a": 1]), ("exp", "1700000600"), ("exp", 1.5), ("exp", 1_700_000_600.0), ("exp", -1), ("exp", nil),
            ("exp", true), ("exp", 9_007_199_254_740_993), ("exp", 9_223_372_036_854_775_807), ("iat", "0"),
            ("iat", -1),
            ("iat", 1e9), ("nbf", 0), ("nbf", nil), ("jti", 1), ("jti", "x"), ("jti", ""),
            ("jti", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), ("client_id", 1), ("client_id", ""), ("sid", nil),
            ("sid", "017f22e279b07cc398c4dc0c0c07398f"), ("auth_time", "1"), ("auth_time", -5), ("scope", ["account"]),
            ("scope", ""), ("scope", " "), ("scope", "a  b"), ("scope", " a"), ("scope", "a "), ("scope", "a\"b"),
            ("scope", "a\\b"), ("scope", "a\tb"), ("scope", "é"), ("roles", "admin"), ("roles", [1]), ("roles", [""]),
        ] as [(String, JSONValue)])
    func invalid(name: String, value: JSONValue) throws {
        var object = Self.base
        object[name] = .some(value)
        let claim = try #require(AccessTokenClaim(rawValue: name))
        #expect(throws: AccessTokenClaimsError.invalid(claim)) { try AccessTokenClaims(parsing: object.encoded()) }
    }

    @Test func `a payload that is no object, or names a claim twice, is refused`() {
        #expect(throws: AccessTokenClaimsError.notAnObject) { try AccessTokenClaims(parsing: Array("[]".utf8)) }
        #expect(throws: AccessTokenClaimsError.notJSON(JSONError(reason: .unexpectedEnd, offset: 0))) {
            try AccessTokenClaims(parsing: [])
        }
        let twice = Self.base.encoded().dropLast() + Array(#","exp":9999999999}"#.utf8)
        let error = #expect(throws: AccessTokenClaimsError.self) { try AccessTokenClaims(parsing: Array(twice)) }
        #expect(error == .notJSON(JSONError(reason: .duplicateName, offset: Self.base.encoded().count)))
    }
}
