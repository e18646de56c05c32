import JOSE
import LibCrypto
import Testing

@Suite struct JSONWebSignatures {
    private static let exponent: [UInt8] = [1, 0, 1]

    private static func publishedRSA(_ modulus: String) throws -> PublicKey {
        let bytes = try #require(Base64URL.decode(modulus.utf8))
        return try PublicKey(.rsa(modulus: bytes, exponent: exponent), algorithm: .rs256)
    }

    private static func publishedP256() throws -> PublicKey {
        let x = try #require(Base64URL.decode(PublishedVectors.a3X.utf8))
        let y = try #require(Base64URL.decode(PublishedVectors.a3Y.utf8))
        return try PublicKey(.p256(x: x, y: y), algorithm: .es256)
    }

    private static func publishedEd25519() throws -> PublicKey {
        try PublicKey(.ed25519(try #require(Base64URL.decode(PublishedVectors.edX.utf8))), algorithm: .edDSA)
    }

    @Test func `the published tokens verify with their keys`() throws {
        let a2 = try JSONWebSignature(parsing: Array(PublishedVectors.a2Token.utf8))
        try a2.verify(with: Self.publishedRSA(PublishedVectors.a2Modulus))
        let payload = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
        #expect(a2.payload == Array(payload.utf8))
        #expect(a2.keyID == nil && a2.type == nil && a2.algorithm == "RS256")

        try JSONWebSignature(parsing: Array(PublishedVectors.a3Token.utf8)).verify(with: Self.publishedP256())

        let hobbiton = try JSONWebSignature(parsing: Array(PublishedVectors.hobbitonToken.utf8))
        try hobbiton.verify(with: Self.publishedRSA(PublishedVectors.hobbitonModulus))
        #expect(hobbiton.keyID == "bilbo.baggins@hobbiton.example")
        let text =
            "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, and if you "
            + "don't keep your feet, there\u{2019}s no knowing where you might be swept off to."
        #expect(hobbiton.payload == Array(text.utf8))

        let ed = try JSONWebSignature(parsing: Array(PublishedVectors.edToken.utf8))
        try ed.verify(with: Self.publishedEd25519())
        #expect(ed.payload == Array("Example of Ed25519 signing".utf8))
    }

    @Test func `signing as in RFC 7515 A2 gives the published token`() throws {
        let der = try #require(Base64URL.decode(PublishedVectors.a2PKCS8.utf8))
        let key = try PrivateKey(pkcs8: SecretBytes(der), algorithm: .rs256)
        let published = try JSONWebSignature(parsing: Array(PublishedVectors.a2Token.utf8))
        let input = JSONWebSignature.signingInput(header: Array(#"{"alg":"RS256"}"#.utf8), payload: published.payload)
        let token = JSONWebSignature.compact(signingInput: input, signature: try key.sign(input))
        #expect(token == PublishedVectors.a2Token)
    }

    @Test func `signing as in RFC 8037 A4 gives the published token`() throws {
        // The seed of A.1 behind the PKCS #8 prefix of RFC 8410 §7.
        let prefix: [UInt8] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]
        let seed = try #require(Base64URL.decode(PublishedVectors.edD.utf8))
        let key = try PrivateKey(pkcs8: SecretBytes(prefix + seed), algorithm: .edDSA)
        let published = try JSONWebSignature(parsing: Array(PublishedVectors.edToken.utf8))
        let input = JSONWebSignature.signingInput(header: Array(#"{"alg":"EdDSA"}"#.utf8), payload: published.payload)
        #expect(
            JSONWebSignature.compact(signingInput: input, signature: try key.sign(input)) == PublishedVectors.edToken)
    }

    @Test func `the key of RFC 7515 A3 signs what its published half verifies`() throws {
        // RFC 5915 in PKCS #8: id-ecPublicKey, prime256v1, then d and the point.
        let head: [UInt8] = [
            0x30, 0x81, 0x87, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48,
            0xce,
            0x3d, 3, 1, 7, 4, 0x6d, 0x30, 0x6b, 2, 1, 1, 4, 0x20,
        ]
        let d = try #require(Base64URL.decode(PublishedVectors.a3D.utf8))
        let x = try #require(Base64URL.decode(PublishedVectors.a3X.utf8))
        let y = try #require(Base64URL.decode(PublishedVectors.a3Y.utf8))
        let key = try PrivateKey(
            pkcs8: SecretBytes(head + d + [0xa1, 0x44, 3, 0x42, 0, 4] + x + y), algorithm: .es256)
        #expect(key.publicKey.components == .p256(x: x, y: y))
        let published = try JSONWebSignature(parsing: Array(PublishedVectors.a3Token.utf8))
        let input = JSONWebSignature.signingInput(header: Array(#"{"alg":"ES256"}"#.utf8), payload: published.payload)
        let token = JSONWebSignature.compact(signingInput: input, signature: try key.sign(input))
        try JSONWebSignature(parsing: Array(token.utf8)).verify(with: Self.publishedP256())
    }

    @Test(
        "the published tokens do not verify with another key",
        arguments: [
            PublishedVectors.a2Token, PublishedVectors.hobbitonToken,
        ])
    func anotherKey(token: String) throws {
        let jws = try JSONWebSignature(parsing: Array(token.utf8))
        #expect(throws: JSONWebSignatureError.badSignature) {
            try jws.verify(with: Self.publishedRSA(PublishedVectors.thumbprintModulus))
        }
        #expect(throws: JSONWebSignatureError.wrongAlgorithm) { try jws.verify(with: Self.publishedP256()) }
    }

    @Test("what is signed here says its key and type, and verifies", arguments: SignatureAlgorithm.allCases)
    func roundTrip(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey.generate(algorithm)
        let token = try JSONWebSignature.sign(payload: [1, 2], key: key, keyID: "k\"1", type: "at+jwt")
        let jws = try JSONWebSignature(parsing: Array(token.utf8))
        try jws.verify(with: key.publicKey)
        #expect(jws.algorithm == algorithm.rawValue && jws.keyID == "k\"1" && jws.payload == [1, 2])
    }

    @Test(
        "a type is compared without case and without application/",
        arguments: [
            ("at+jwt", true), ("AT+JWT", true), ("application/at+jwt", true), ("Application/At+JWT", true),
            ("JWT", false), ("at+jwt ", false), ("application/application/at+jwt", false), ("text/at+jwt", false),
            ("at+jwt;charset=utf-8", false), ("", false), ("at jwt", false),
        ])
    func types(type: String, isAccessToken: Bool) throws {
        let header = JSONObject([("alg", "RS256"), ("typ", .string(type))]).encoded()
        let jws = try JSONWebSignature(
            parsing: JSONWebSignature.signingInput(header: header, payload: [1]) + Array(".AA".utf8))
        #expect(jws.hasType("at+jwt") == isAccessToken)
        #expect(!jws.hasType("\u{212A}"))
    }

    @Test(
        "a header that would change how to verify is refused",
        arguments: [
            (#"{"alg":"RS256","crit":["exp"]}"#, .forbiddenMember("crit")),
            (#"{"alg":"RS256","crit":[]}"#, .forbiddenMember("crit")),
            (#"{"alg":"RS256","crit":null}"#, .forbiddenMember("crit")),
            (#"{"alg":"RS256","b64":true}"#, .forbiddenMember("b64")),
            (#"{"alg":"RS256","jku":"https://x"}"#, .forbiddenMember("jku")),
            (#"{"alg":"RS256","jwk":{}}"#, .forbiddenMember("jwk")),
            (#"{"alg":"RS256","x5u":"https://x"}"#, .forbiddenMember("x5u")),
            (#"{"alg":"RS256","x5c":[]}"#, .forbiddenMember("x5c")),
            (#"{"alg":"RS256","zip":"DEF"}"#, .forbiddenMember("zip")),
            (#"{"alg":"RS256","enc":"A128GCM"}"#, .forbiddenMember("enc")),
            (#"{"\u0061lg":"RS256","cr\u0069t":[]}"#, .forbiddenMember("crit")),
            (#"{}"#, .headerMember("alg")), (#"{"alg":null}"#, .headerMember("alg")),
            (#"{"alg":1}"#, .headerMember("alg")), (#"{"alg":["RS256"]}"#, .headerMember("alg")),
            (#"{"Alg":"RS256"}"#, .headerMember("alg")), (#"{"alg":"RS256","kid":1}"#, .headerMember("kid")),
            (#"{"alg":"RS256","kid":null}"#, .headerMember("kid")),
            (#"{"alg":"RS256","typ":[]}"#, .headerMember("typ")),
            ("[]", .headerNotAnObject), (#""alg""#, .headerNotAnObject),
            (#"{"alg":"RS256","alg":"none"}"#, .headerNotJSON(JSONError(reason: .duplicateName, offset: 15))),
            (#"{"alg":"none","\u0061lg":"RS256"}"#, .headerNotJSON(JSONError(reason: .duplicateName, offset: 14))),
            (#"{"alg":"RS256",}"#, .headerNotJSON(JSONError(reason: .trailingComma, offset: 14))),
            (#"{"alg":"RS256"}x"#, .headerNotJSON(JSONError(reason: .trailingBytes, offset: 15))),
            ("{\"alg\":\"RS256\"}\u{0}", .headerNotJSON(JSONError(reason: .nul, offset: 15))),
            ("\u{feff}{\"alg\":\"RS256\"}", .headerNotJSON(JSONError(reason: .byteOrderMark, offset: 0))),
        ] as [(String, JSONWebSignatureError)])
    func headers(header: String, error: JSONWebSignatureError) {
        let token = JSONWebSignature.signingInput(header: Array(header.utf8), payload: [1]) + Array(".AA".utf8)
        #expect(throws: error) { try JSONWebSignature(parsing: token) }
    }

    @Test(
        "a token of another shape is refused",
        arguments: [
            ("", .notThreeParts), (".", .notThreeParts), ("..", .notThreeParts), ("a", .notThreeParts),
            ("e30.e30", .notThreeParts), ("e30.e30.", .notThreeParts), (".e30.AA", .notThreeParts),
            ("e30..AA", .notThreeParts), ("e30.e30.AA.AA", .notThreeParts), ("e30.e30.AA.", .notThreeParts),
            (".e30.e30.AA", .notThreeParts), ("e30.e30.AA.AA.AA", .notThreeParts),
            ("e30=.e30.AA", .notBase64URL), ("e30.e30=.AA", .notBase64URL), ("e30.e30.AA==", .notBase64URL),
            ("e31.e30.AA", .notBase64URL), ("e30.e30.AB", .notBase64URL), ("e30.e30.A", .notBase64URL),
            (" e30.e30.AA", .notBase64URL), ("e30.e30.AA\n", .notBase64URL), ("e30.e3+.AA", .notBase64URL),
            ("Bearer e30.e30.AA", .notBase64URL), ("e30.e30.AA\u{0}", .notBase64URL),
        ] as [(String, JSONWebSignatureError)])
    func shapes(token: String, error: JSONWebSignatureError) {
        #expect(throws: error) { try JSONWebSignature(parsing: Array(token.utf8)) }
    }

    @Test func `a token above 8 KiB is not looked at`() throws {
        let largest = [UInt8](repeating: 0x2e, count: JSONWebSignature.maximumByteCount)
        #expect(throws: JSONWebSignatureError.notThreeParts) { try JSONWebSignature(parsing: largest) }
        #expect(throws: JSONWebSignatureError.tooLarge) { try JSONWebSignature(parsing: largest + [0x2e]) }
    }
}
