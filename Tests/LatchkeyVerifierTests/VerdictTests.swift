import JOSE
import LatchkeyVerifier
import LibCrypto
import Testing

@Suite struct Verdicts {
    /// One row of the verdict table.
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        /// Nil: accepted.
        let verdict: TokenRejection?
        let token: @Sendable (TokenForge) throws -> [UInt8]

        init(_ name: String, _ verdict: TokenRejection?, _ token: @escaping @Sendable (TokenForge) throws -> [UInt8]) {
            self.name = name
            self.verdict = verdict
            self.token = token
        }

        var testDescription: String { name }
    }

    private static let forge = Result { try TokenForge() }

    @Test("every token gets its verdict", arguments: shapes + headers + forgeries + claims)
    func verdict(row: Row) throws {
        let forge = try Self.forge.get()
        let token = try row.token(forge)
        if let verdict = row.verdict {
            #expect(throws: verdict) { try forge.verify(token) }
            // What is refused in general is refused for revocation too, but for its age.
            if verdict != .expired {
                #expect(throws: verdict) { try forge.verify(token, checking: .authenticityOnly) }
            }
        } else {
            #expect(try forge.verify(token).subject == "u1")
        }
    }

    private static let shapes: [Row] = [
        Row("a good token", nil) { try $0.token() },
        Row("nothing", .malformed) { _ in [] },
        Row("two parts", .malformed) { try Array($0.token().split(separator: 0x2e)[0...1].joined(separator: [0x2e])) },
        Row("four parts", .malformed) { try $0.token() + Array(".AA".utf8) },
        Row("no signature", .malformed) { forge in forge.token(header: "x", nil) { _ in [] } },
        Row("five parts, as a JWE has", .malformed) { try $0.token() + Array(".AA.AA".utf8) },
        Row("padding", .malformed) { try $0.token() + Array("==".utf8) },
        Row("white space before", .malformed) { try [0x20] + $0.token() },
        Row("a new line behind", .malformed) { try $0.token() + [0x0a] },
        Row("a NUL behind", .malformed) { try $0.token() + [0] },
        Row("Bearer before", .malformed) { try Array("Bearer ".utf8) + $0.token() },
        Row("another tail of the signature", .malformed) { forge in
            // 256 bytes leave four bits over in the last symbol: the next symbol is the same bytes to a lax decoder.
            var token = try forge.token()
            token[token.count - 1] += 1
            return token
        },
        Row("above 8 KiB", .malformed) { try $0.token(claim: "x", .string(String(repeating: "a", count: 8192))) },
        Row("just below 8 KiB", nil) { try $0.token(claim: "x", .string(String(repeating: "a", count: 5000))) },
        Row("the other alphabet", .malformed) { forge in
            forge.token(header: "x", nil) { _ in [0xff, 0xff, 0xff] }.map { $0 == 0x5f ? 0x2f : $0 }
        },
    ]

    private static let headers: [Row] = [
        Row("a header that is no JSON", .malformed) { try $0.token(header: Array("alg".utf8)) },
        Row("a header that is an array", .malformed) { try $0.token(header: Array("[]".utf8)) },
        Row("alg twice", .malformed) { forge in
            try forge.token(header: forge.header.encoded().dropLast() + Array(#","alg":"none"}"#.utf8))
        },
        Row("alg twice, once escaped", .malformed) { forge in
            try forge.token(header: forge.header.encoded().dropLast() + Array(#","\u0061lg":"none"}"#.utf8))
        },
        Row("a trailing comma", .malformed) { forge in
            try forge.token(header: forge.header.encoded().dropLast() + Array(",}".utf8))
        },
        Row("NUL in the header", .malformed) { try $0.token(header: "x", "a\u{0}") },
        Row("crit", .malformed) { try $0.token(header: "crit", ["exp"]) },
        Row("b64", .malformed) { try $0.token(header: "b64", false) },
        Row("jku", .malformed) { try $0.token(header: "jku", "https://evil.example/jwks") },
        Row("x5u", .malformed) { try $0.token(header: "x5u", "https://evil.example/cert") },
        Row("x5c", .malformed) { try $0.token(header: "x5c", ["AA"]) },
        Row("zip", .malformed) { try $0.token(header: "zip", "DEF") },
        Row("no alg", .malformed) { try $0.token(header: "alg", nil) },
        Row("no kid", .malformed) { try $0.token(header: "kid", nil) },
        Row("kid null", .malformed) { try $0.token(header: "kid", .some(.null)) },
        Row("kid a number", .malformed) { try $0.token(header: "kid", 1) },
        Row("kid unknown", .unknownKey) { try $0.token(header: "kid", "unknown") },
        Row("kid empty", .unknownKey) { try $0.token(header: "kid", "") },
        Row("kid a path", .unknownKey) { try $0.token(header: "kid", "../../dev/null") },
        Row("kid in another case", .unknownKey) { try $0.token(header: "kid", .string($0.keyID.uppercased() + "x")) },
        Row("kid with a space", .unknownKey) { try $0.token(header: "kid", .string($0.keyID + " ")) },
        Row("no typ", .wrongType) { try $0.token(header: "typ", nil) },
        Row("typ JWT, as an ID token has", .wrongType) { try $0.token(header: "typ", "JWT") },
        Row("typ logout+jwt", .wrongType) { try $0.token(header: "typ", "logout+jwt") },
        Row("typ with a parameter", .wrongType) { try $0.token(header: "typ", "at+jwt; v=1") },
        Row("typ null", .malformed) { try $0.token(header: "typ", .some(.null)) },
        Row("typ application/at+jwt", nil) { try $0.token(header: "typ", "application/at+jwt") },
        Row("typ AT+JWT", nil) { try $0.token(header: "typ", "AT+JWT") },
        Row("an unknown member", nil) { try $0.token(header: "x", ["y"]) },
    ]

    private static let forgeries: [Row] = [
        Row("alg none, empty signature", .malformed) { $0.token(header: "alg", "none") { _ in [] } },
        Row("alg none", .wrongAlgorithm) { $0.token(header: "alg", "none") { _ in [0] } },
        Row("alg None", .wrongAlgorithm) { $0.token(header: "alg", "None") { _ in [0] } },
        Row("alg nOnE", .wrongAlgorithm) { $0.token(header: "alg", "nOnE") { _ in [0] } },
        Row("alg none over a good signature", .wrongAlgorithm) { try $0.token(header: "alg", "none") },
        Row("alg rs256", .wrongAlgorithm) { try $0.token(header: "alg", "rs256") },
        Row("alg PS256 over a PKCS1 signature", .wrongAlgorithm) { try $0.token(header: "alg", "PS256") },
        Row("alg ES256 with the RSA kid", .wrongAlgorithm) { forge in
            try forge.token(header: "alg", "ES256") { try forge.other.sign($0) }
        },
        Row("HS256 with the modulus as its secret", .wrongAlgorithm) { forge in
            guard case .rsa(let modulus, _) = forge.key.publicKey.components else { return [] }
            return forge.token(header: "alg", "HS256") { HMACSHA256.authenticate($0, key: SecretBytes(modulus)) }
        },
        Row("HS256 with the JWK as its secret", .wrongAlgorithm) { forge in
            let secret = SecretBytes(JSONWebKey(forge.key.publicKey).json.encoded())
            return forge.token(header: "alg", "HS256") { HMACSHA256.authenticate($0, key: secret) }
        },
        Row("RS256 said, HMAC with the modulus done", .badSignature) { forge in
            guard case .rsa(let modulus, _) = forge.key.publicKey.components else { return [] }
            return forge.token(header: "x", nil) { HMACSHA256.authenticate($0, key: SecretBytes(modulus)) }
        },
        Row("a stranger's key", .badSignature) { try $0.token(key: PrivateKey.generate(.rs256)) },
        Row("a stranger's key in the header", .malformed) { forge in
            let stranger = try PrivateKey.generate(.rs256)
            var header = forge.header
            header["jwk"] = .object(JSONWebKey(stranger.publicKey).json)
            return try forge.token(header: header.encoded(), key: stranger)
        },
        Row("a stranger's key under its own kid", .unknownKey) { forge in
            let stranger = try PrivateKey.generate(.rs256)
            var header = forge.header
            header["kid"] = .string(JSONWebKey(stranger.publicKey).keyID)
            return try forge.token(header: header.encoded(), key: stranger)
        },
        Row("our other key under this kid", .badSignature) { try $0.token(key: $0.other) },
        Row("our other key under its kid", nil) { forge in
            let header: JSONObject = ["alg": "ES256", "typ": "at+jwt", "kid": .string(forge.otherKeyID)]
            return try forge.token(header: header.encoded(), key: forge.other)
        },
        Row("an ES256 signature of zeros", .badSignature) { forge in
            // CVE-2022-21449: r = s = 0 verified for any message.
            let header: JSONObject = ["alg": "ES256", "typ": "at+jwt", "kid": .string(forge.otherKeyID)]
            let input = JSONWebSignature.signingInput(header: header.encoded(), payload: TokenForge.claims.encoded())
            let zeros = [UInt8](repeating: 0, count: 64)
            return Array(JSONWebSignature.compact(signingInput: input, signature: zeros).utf8)
        },
        Row("another token's payload", .badSignature) { forge in
            let parts = try forge.token().split(separator: 0x2e)
            let claims = try forge.token(claim: "sub", "admin").split(separator: 0x2e)
            return Array([parts[0], claims[1], parts[2]].joined(separator: [0x2e]))
        },
        Row("a signature cut short", .badSignature) { forge in
            try forge.token(header: "x", nil) { try forge.key.sign($0).dropLast() }
        },
    ]

    private static let claims: [Row] = [
        Row("a payload that is no JSON", .malformedClaims) { try $0.token(claims: [0xff]) },
        Row("a claim twice", .malformedClaims) { forge in
            try forge.token(claims: TokenForge.claims.encoded().dropLast() + Array(#","exp":9999999999}"#.utf8))
        },
        Row("no iss", .malformedClaims) { try $0.token(claim: "iss", nil) },
        Row("iss of another", .wrongIssuer) { try $0.token(claim: "iss", "https://evil.example") },
        Row("iss a prefix", .wrongIssuer) { try $0.token(claim: "iss", "https://id.exampl") },
        Row("iss with ours as a prefix", .wrongIssuer) { try $0.token(claim: "iss", "https://id.example.evil") },
        Row("iss with a slash", .wrongIssuer) { try $0.token(claim: "iss", "https://id.example/") },
        Row("iss in capitals", .wrongIssuer) { try $0.token(claim: "iss", "HTTPS://ID.EXAMPLE") },
        Row("iss an array", .malformedClaims) { try $0.token(claim: "iss", ["https://id.example"]) },
        Row("no aud", .malformedClaims) { try $0.token(claim: "aud", nil) },
        Row("aud empty", .malformedClaims) { try $0.token(claim: "aud", []) },
        Row("aud an empty text", .malformedClaims) { try $0.token(claim: "aud", "") },
        Row("aud a number", .malformedClaims) { try $0.token(claim: "aud", [1]) },
        Row("aud of another", .wrongAudience) { try $0.token(claim: "aud", "https://other.example") },
        Row("aud of several others", .wrongAudience) { try $0.token(claim: "aud", ["a", "b"]) },
        Row("aud with ours as a prefix", .wrongAudience) { try $0.token(claim: "aud", "https://api.example.evil") },
        Row("aud with ours among several", nil) { try $0.token(claim: "aud", ["a", .string(TokenForge.audience)]) },
        Row("no exp", .malformedClaims) { try $0.token(claim: "exp", nil) },
        Row("exp a text", .malformedClaims) { try $0.token(claim: "exp", "1700000600") },
        Row("exp a fraction", .malformedClaims) { try $0.token(claim: "exp", 1_700_000_600.5) },
        Row("exp negative", .malformedClaims) { try $0.token(claim: "exp", -1) },
        Row("exp that overflows with the leeway", .malformedClaims) { try $0.token(claim: "exp", .integer(.max)) },
        Row("exp beyond 64 bits", .malformedClaims) { forge in
            let text = String(decoding: TokenForge.claims.encoded(), as: UTF8.self)
            return try forge.token(
                claims: Array(text.split(separator: "1700000600").joined(separator: "99999999999999999999").utf8))
        },
        Row("exp the leeway ago", .expired) { try $0.token(claim: "exp", .integer(TokenForge.now - 30)) },
        Row("exp just within the leeway", nil) { try $0.token(claim: "exp", .integer(TokenForge.now - 29)) },
        Row("exp zero", .expired) { try $0.token(claim: "exp", 0) },
        Row("no iat", .malformedClaims) { try $0.token(claim: "iat", nil) },
        Row("iat the leeway ahead", nil) { try $0.token(claim: "iat", .integer(TokenForge.now + 30)) },
        Row("iat beyond the leeway", .issuedInFuture) { try $0.token(claim: "iat", .integer(TokenForge.now + 31)) },
        Row("nbf", .malformedClaims) { try $0.token(claim: "nbf", .integer(TokenForge.now)) },
        Row("no jti", .malformedClaims) { try $0.token(claim: "jti", nil) },
        Row("jti in capitals", .malformedClaims) {
            try $0.token(claim: "jti", .string(TokenForge.tokenID.uppercased()))
        },
        Row("sid not a UUID", .malformedClaims) { try $0.token(claim: "sid", "1") },
        Row("no sid", nil) { try $0.token(claim: "sid", nil) },
        Row("scope an array", .malformedClaims) { try $0.token(claim: "scope", ["account"]) },
        Row("roles a text", .malformedClaims) { try $0.token(claim: "roles", "admin") },
    ]

    @Test func `a change of any single bit of a token is refused`() throws {
        let forge = try Self.forge.get()
        let token = try forge.token()
        var accepted: [String] = []
        for position in token.indices {
            for bit in 0..<8 {
                var tampered = token
                tampered[position] ^= 1 << UInt8(bit)
                if (try? forge.verify(tampered)) != nil { accepted.append("bit \(bit) of byte \(position)") }
            }
        }
        #expect(accepted == [])
        #expect(token.count > 700)
    }

    @Test func `every truncation of a token is refused`() throws {
        let forge = try Self.forge.get()
        let token = try forge.token()
        #expect(token.indices.allSatisfy { (try? forge.verify(Array(token.prefix($0)))) == nil })
    }

    @Test func `names that look alike are not alike`() throws {
        // Each pair is equal to Swift's == on strings.
        let forge = try Self.forge.get()
        let kelvin = VerificationKeys([try JSONWebKey(.object(Self.jwk(forge, kid: "K")))])
        let verifier = TokenVerifier(issuer: "K", audience: "\u{e9}", leeway: 0)
        func token(kid: String, iss: String, aud: String) throws -> [UInt8] {
            var (header, claims) = (forge.header, TokenForge.claims)
            header["kid"] = .string(kid)
            claims["iss"] = .string(iss)
            claims["aud"] = .string(aud)
            return try forge.token(header: header.encoded(), claims: claims.encoded())
        }
        func verify(_ token: [UInt8]) throws(TokenRejection) -> AccessToken {
            try verifier.verify(token, keys: kelvin, revocations: RevocationSet(), now: TokenForge.now)
        }
        #expect(try verify(token(kid: "K", iss: "K", aud: "\u{e9}")).keyID == "K")
        #expect(throws: TokenRejection.unknownKey) { try verify(token(kid: "\u{212A}", iss: "K", aud: "\u{e9}")) }
        #expect(throws: TokenRejection.wrongIssuer) { try verify(token(kid: "K", iss: "\u{212A}", aud: "\u{e9}")) }
        #expect(throws: TokenRejection.wrongAudience) { try verify(token(kid: "K", iss: "K", aud: "e\u{301}")) }
    }

    private static func jwk(_ forge: TokenForge, kid: String) -> JSONObject {
        var jwk = JSONWebKey(forge.key.publicKey).json
        jwk["kid"] = .string(kid)
        return jwk
    }

    @Test func `of two keys with one kid neither verifies`() throws {
        let forge = try Self.forge.get()
        let jwk = try JSONWebKey(.object(Self.jwk(forge, kid: "a")))
        let keys = VerificationKeys([jwk, jwk, JSONWebKey(forge.key.publicKey)])
        #expect(keys["a"] == nil)
        #expect(keys.count == 1)
        #expect(keys[forge.keyID] === forge.key.publicKey)
    }
}
