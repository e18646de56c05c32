import JOSE
import LibCrypto
import Testing

@Suite struct JSONWebKeys {
    private static func rsa(_ modulus: String, kid: String = "k") -> JSONObject {
        ["kty": "RSA", "alg": "RS256", "kid": .string(kid), "n": .string(modulus), "e": "AQAB"]
    }

    private static let p256: JSONObject = [
        "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": .string(PublishedVectors.a3X),
        "y": .string(PublishedVectors.a3Y),
    ]
    private static let ed25519: JSONObject = [
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": .string(PublishedVectors.edX),
    ]

    private static func changed(_ object: JSONObject, _ name: String, _ value: JSONValue?) -> JSONValue {
        var object = object
        object[name] = value
        return .object(object)
    }

    @Test func `the thumbprint is the one of RFC 7638`() throws {
        let key = try JSONWebKey(.object(Self.rsa(PublishedVectors.thumbprintModulus, kid: "2011-04-29")))
        #expect(key.keyID == "2011-04-29")
        #expect(JSONWebKey.thumbprint(of: key.publicKey) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        #expect(JSONWebKey(key.publicKey).keyID == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
    }

    @Test func `the thumbprint of an Ed25519 key is the one of RFC 8037`() throws {
        let key = try JSONWebKey(.object(Self.ed25519))
        #expect(JSONWebKey.thumbprint(of: key.publicKey) == PublishedVectors.edThumbprint)
    }

    @Test("a key that was written is read again, without anything private", arguments: SignatureAlgorithm.allCases)
    func roundTrip(algorithm: SignatureAlgorithm) throws {
        let key = JSONWebKey(try PrivateKey.generate(algorithm).publicKey)
        #expect(key.json["use"] == "sig")
        #expect(key.json["alg"] == .string(algorithm.rawValue))
        #expect(["d", "p", "q", "dp", "dq", "qi", "k"].allSatisfy { key.json[$0] == nil })
        let read = try JSONWebKey(.object(key.json))
        #expect(read.keyID == key.keyID && read.publicKey.components == key.publicKey.components)
        #expect(read.publicKey.algorithm == algorithm)
    }

    @Test func `unknown members, and key_ops with verify, are no hindrance`() throws {
        var object = Self.p256
        object["x-other"] = ["d": 1]
        object["key_ops"] = ["verify"]
        #expect(try JSONWebKey(.object(object)).keyID == "k")
    }

    @Test(
        "a JWK that is not one of ours is refused",
        arguments: [
            ([], .notAnObject), ("x", .notAnObject), ([:], .missingKeyID),
            (changed(p256, "d", "AA"), .holdsPrivateMember), (changed(p256, "k", nil), nil),
            (changed(p256, "p", 1), .holdsPrivateMember), (changed(ed25519, "k", "AA"), .holdsPrivateMember),
            (changed(p256, "kid", nil), .missingKeyID), (changed(p256, "kid", ""), .missingKeyID),
            (changed(p256, "kid", 1), .missingKeyID), (changed(p256, "use", "enc"), .unsupportedUse),
            (changed(p256, "use", 1), .unsupportedUse), (changed(p256, "key_ops", ["sign"]), .unsupportedUse),
            (changed(p256, "key_ops", "verify"), .unsupportedUse), (changed(p256, "alg", nil), .unsupportedType),
            (changed(p256, "alg", "HS256"), .unsupportedType), (changed(p256, "alg", "none"), .unsupportedType),
            (changed(p256, "alg", "es256"), .unsupportedType), (changed(p256, "alg", "RS256"), .unsupportedType),
            (changed(p256, "kty", "oct"), .unsupportedType), (changed(p256, "crv", "P-384"), .unsupportedType),
            (changed(p256, "crv", "secp256k1"), .unsupportedType),
            (changed(ed25519, "crv", "X25519"), .unsupportedType),
            (changed(p256, "x", nil), .malformedMember), (changed(p256, "x", 1), .malformedMember),
            (changed(p256, "x", "AA=="), .malformedMember), (changed(p256, "x", "AB"), .malformedMember),
            (changed(p256, "x", "AAAA"), .refusedKey), (changed(p256, "y", .string(PublishedVectors.a3X)), .refusedKey),
            (changed(rsa("AAAA"), "x", nil), .refusedKey), (changed(rsa("AQAB"), "x", nil), .refusedKey),
            (changed(rsa(PublishedVectors.a2Modulus), "e", "Aw"), .refusedKey),
            (changed(rsa(PublishedVectors.a2Modulus), "e", "AAEAAQ"), .refusedKey),
            (changed(rsa(PublishedVectors.a2Modulus), "e", ""), .malformedMember),
            (changed(rsa(PublishedVectors.a2Modulus), "n", ""), .malformedMember),
        ] as [(JSONValue, JSONWebKeyError?)])
    func refused(value: JSONValue, reason: JSONWebKeyError?) throws {
        if let reason {
            #expect(throws: reason) { try JSONWebKey(value) }
        } else {
            #expect(try JSONWebKey(value).keyID == "k")
        }
    }

    @Test func `a set skips what it does not understand`() throws {
        let set = JSONObject([
            ("other", 1),
            (
                "keys",
                [.object(Self.p256), ["kty": "oct", "k": "AA", "kid": "s"], 7, Self.changed(Self.p256, "d", "AA")]
            ),
        ])
        let read = try JSONWebKeySet(parsing: set.encoded())
        #expect(read.keys.map(\.keyID) == ["k"])
        let again = try JSONWebKeySet(parsing: read.encoded())
        #expect(again.keys.map(\.publicKey.components) == read.keys.map(\.publicKey.components))
        #expect(try JSONWebKeySet(parsing: Array(#"{"keys":[]}"#.utf8)).keys.isEmpty)
        #expect(JSONWebKeySet([]).encoded() == Array(#"{"keys":[]}"#.utf8))
    }

    @Test(
        "what is no set is refused",
        arguments: [
            ("", .notJSON(JSONError(reason: .unexpectedEnd, offset: 0))), ("[]", .notASet), ("{}", .notASet),
            (#"{"keys":{}}"#, .notASet),
            (#"{"keys":[],"keys":[]}"#, .notJSON(JSONError(reason: .duplicateName, offset: 11))),
        ] as [(String, JSONWebKeySetError)])
    func noSet(text: String, error: JSONWebKeySetError) {
        #expect(throws: error) { try JSONWebKeySet(parsing: Array(text.utf8)) }
    }

    @Test func `two keys with one kid are refused`() {
        let set = JSONObject([("keys", [.object(Self.p256), .object(Self.ed25519)])])
        #expect(throws: JSONWebKeySetError.duplicateKeyID) { try JSONWebKeySet(parsing: set.encoded()) }
    }
}
