import JOSE
import LatchkeyVerifier
import LibCrypto

/// An issuer with two keys, an attacker's key, and the means to make any token, good or bad.
struct TokenForge: Sendable {
    static let issuer = "https://id.example"
    static let audience = "https://api.example"
    static let now: Int64 = 1_700_000_000
    static let leeway: Int64 = 30
    static let tokenID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    static let sessionID = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"

    let key: PrivateKey
    let other: PrivateKey
    let keyID: String
    let otherKeyID: String

    init() throws {
        key = try PrivateKey.generate(.rs256)
        other = try PrivateKey.generate(.es256)
        keyID = JSONWebKey(key.publicKey).keyID
        otherKeyID = JSONWebKey(other.publicKey).keyID
    }

    var keys: VerificationKeys { VerificationKeys([JSONWebKey(key.publicKey), JSONWebKey(other.publicKey)]) }

    var header: JSONObject { ["alg": "RS256", "typ": "at+jwt", "kid": .string(keyID)] }

    static var claims: JSONObject {
        [
            "iss": .string(issuer), "sub": "u1", "aud": .string(audience), "exp": .integer(now + 600),
            "iat": .integer(now), "jti": .string(tokenID), "client_id": "web", "sid": .string(sessionID),
            "auth_time": .integer(now - 5), "scope": "account users:read", "roles": ["admin"],
        ]
    }

    /// The token of `header` and `claims` as bytes, signed by `key`.
    func token(header: [UInt8]? = nil, claims: [UInt8]? = nil, key: PrivateKey? = nil) throws -> [UInt8] {
        let input = JSONWebSignature.signingInput(
            header: header ?? self.header.encoded(), payload: claims ?? Self.claims.encoded())
        let signature = try (key ?? self.key).sign(input)
        return Array(JSONWebSignature.compact(signingInput: input, signature: signature).utf8)
    }

    /// The token with one member of the header changed.
    func token(header name: String, _ value: JSONValue?) throws -> [UInt8] {
        var header = header
        header[name] = value
        return try token(header: header.encoded())
    }

    /// The token with one claim changed.
    func token(claim name: String, _ value: JSONValue?) throws -> [UInt8] {
        var claims = Self.claims
        claims[name] = value
        return try token(claims: claims.encoded())
    }

    /// The token with a signature that is not by a key of ours.
    func token(header name: String, _ value: JSONValue?, signature: ([UInt8]) throws -> [UInt8]) rethrows -> [UInt8] {
        var header = header
        header[name] = value
        let input = JSONWebSignature.signingInput(header: header.encoded(), payload: Self.claims.encoded())
        return input + [UInt8(ascii: ".")] + Base64URL.encodedBytes(try signature(input))
    }

    func verify(
        _ token: [UInt8], revocations: RevocationSet = RevocationSet(), now: Int64 = now,
        checking checks: TokenVerifier.Checks = .everything
    ) throws(TokenRejection) -> AccessToken {
        try TokenVerifier(issuer: Self.issuer, audience: Self.audience, leeway: Self.leeway)
            .verify(token, keys: keys, revocations: revocations, now: now, checking: checks)
    }
}
