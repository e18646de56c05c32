package import LibCrypto

/// Why a JWK was not understood. Safe to log.
package enum JSONWebKeyError: String, Error, Equatable {
    case notAnObject = "a JWK is a JSON object"
    case holdsPrivateMember = "the JWK holds private members"
    case missingKeyID = "the JWK has no kid"
    case unsupportedType = "the JWK's kty, crv and alg name no key that is understood"
    case unsupportedUse = "the JWK is not meant for verifying signatures"
    case malformedMember = "a member of the JWK is missing, of a wrong type, or not strict base64url"
    case refusedKey = "the JWK is not a key, or one that is too weak or too large"
}

/// A public signature key as a JWK (RFC 7517 §4): its algorithm and its `kid` are part of it, both required.
package struct JSONWebKey: Sendable {
    /// `kid`: ours is the RFC 7638 thumbprint; one that was read says what its maker chose.
    package let keyID: String
    package let publicKey: PublicKey

    /// The key with its thumbprint as `kid`.
    package init(_ publicKey: PublicKey) {
        self.publicKey = publicKey
        keyID = Self.thumbprint(of: publicKey)
    }

    /// Reads a JWK. Members that it does not know are ignored (RFC 7517 §4).
    ///
    /// - Throws: `JSONWebKeyError`; a JWK with private members is refused as a whole, lest a key that leaked by mistake
    ///   is spread further.
    package init(_ value: JSONValue) throws(JSONWebKeyError) {
        guard let members = value.object else { throw .notAnObject }
        guard Self.privateMembers.allSatisfy({ members[$0] == nil }) else { throw .holdsPrivateMember }
        guard let keyID = members["kid"]?.string, !keyID.isEmpty else { throw .missingKeyID }
        if let use = members["use"], use != "sig" { throw .unsupportedUse }
        if let operations = members["key_ops"] {
            guard let names = operations.strings, names.contains(where: { $0.isSameText(as: "verify") }) else {
                throw .unsupportedUse
            }
        }
        guard let algorithm = members["alg"]?.string.flatMap({ SignatureAlgorithm(text: $0) }) else {
            throw .unsupportedType
        }
        let components = try Self.components(in: members, for: algorithm)
        do throws(CryptoError) {
            publicKey = try PublicKey(components, algorithm: algorithm)
        } catch {
            throw .refusedKey
        }
        self.keyID = keyID
    }

    /// The JWK with `use` and `alg`, for the JWKS.
    package var json: JSONObject {
        var json = Self.requiredMembers(of: publicKey)
        json["kid"] = .string(keyID)
        json["use"] = "sig"
        json["alg"] = .string(publicKey.algorithm.rawValue)
        return json
    }

    /// The base64url of the SHA-256 of the required members in lexicographic order (RFC 7638 §3).
    package static func thumbprint(of key: PublicKey) -> String {
        Base64URL.encode(SHA256.digest(requiredMembers(of: key).encoded()))
    }

    /// RFC 7518 §6.2.2, §6.3.2 and §6.4, RFC 8037 §2.
    private static let privateMembers = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]

    /// In lexicographic order, as RFC 7638 §3.3 wants them.
    private static func requiredMembers(of key: PublicKey) -> JSONObject {
        func text(_ bytes: [UInt8]) -> JSONValue { .string(Base64URL.encode(bytes)) }
        return switch key.components {
        case .rsa(let modulus, let exponent): ["e": text(exponent), "kty": "RSA", "n": text(modulus)]
        case .p256(let x, let y): ["crv": "P-256", "kty": "EC", "x": text(x), "y": text(y)]
        case .ed25519(let bytes): ["crv": "Ed25519", "kty": "OKP", "x": text(bytes)]
        }
    }

    private static func components(
        in members: JSONObject, for algorithm: SignatureAlgorithm
    ) throws(JSONWebKeyError) -> PublicKey.Components {
        func bytes(_ name: String) throws(JSONWebKeyError) -> [UInt8] {
            guard let text = members[name]?.string, let bytes = Base64URL.decode(text.utf8), !bytes.isEmpty else {
                throw .malformedMember
            }
            return bytes
        }
        switch algorithm {
        case .rs256, .ps256:
            guard members["kty"] == "RSA" else { throw .unsupportedType }
            return .rsa(modulus: try bytes("n"), exponent: try bytes("e"))
        case .es256:
            guard members["kty"] == "EC", members["crv"] == "P-256" else { throw .unsupportedType }
            return .p256(x: try bytes("x"), y: try bytes("y"))
        case .edDSA:
            guard members["kty"] == "OKP", members["crv"] == "Ed25519" else { throw .unsupportedType }
            return .ed25519(try bytes("x"))
        }
    }
}

extension SignatureAlgorithm {
    /// By the bytes of its `alg` (RFC 7518 §3.1: case-sensitive); nil for any other.
    package init?(text: String) {
        guard let algorithm = Self.allCases.first(where: { $0.rawValue.isSameText(as: text) }) else { return nil }
        self = algorithm
    }
}

/// Why bytes are not a JWKS. Safe to log.
package enum JSONWebKeySetError: Error, Equatable {
    case notJSON(JSONError)
    /// Not an object with an array `keys`.
    case notASet
    /// Two keys that are understood have one `kid`: which of them verifies would depend on their order.
    case duplicateKeyID
}

/// A JWKS (RFC 7517 §5).
package struct JSONWebKeySet: Sendable {
    package let keys: [JSONWebKey]

    package init(_ keys: [JSONWebKey]) { self.keys = keys }

    /// Reads a JWKS and skips the keys that it does not understand, as RFC 7517 §5 wants it.
    package init(parsing bytes: [UInt8]) throws(JSONWebKeySetError) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue.parse(bytes) } catch { throw .notJSON(error) }
        guard let values = value.object?["keys"]?.array else { throw .notASet }
        keys = values.compactMap { try? JSONWebKey($0) }
        guard Set(keys.map { Array($0.keyID.utf8) }).count == keys.count else { throw .duplicateKeyID }
    }

    /// The document to serve as `application/jwk-set+json`.
    package func encoded() -> [UInt8] {
        JSONObject([("keys", .array(keys.map { .object($0.json) }))]).encoded()
    }
}
