package import LibCrypto

/// Why a token is no JWS that we read. Holds nothing of the token: safe to log.
package enum JSONWebSignatureError: Error, Equatable {
    case tooLarge
    /// Not exactly three parts, or one of them empty.
    case notThreeParts
    case notBase64URL
    case headerNotJSON(JSONError)
    case headerNotAnObject
    /// `alg`, `kid` or `typ` is not a string, or `alg` is missing.
    case headerMember(String)
    /// The header asks for something that would change what is verified, or with which key.
    case forbiddenMember(String)
    /// The token's `alg` is not the key's.
    case wrongAlgorithm
    case badSignature
}

/// A JWS in compact serialization (RFC 7515 §7.1), taken apart but **not** verified until `verify` returned.
///
///     BASE64URL(UTF8(header)) || '.' || BASE64URL(payload) || '.' || BASE64URL(signature)
package struct JSONWebSignature: Sendable {
    /// The largest token that is looked at, in bytes.
    package static let maximumByteCount = 8192

    /// The header's `alg`, as the token claims it. It never chooses how to verify.
    package let algorithm: String
    package let keyID: String?
    package let type: String?
    package let payload: [UInt8]
    package let signature: [UInt8]
    private let token: [UInt8]
    /// What was signed ends here: before the second dot.
    private let signingEnd: Int

    /// Takes `token` apart: size first, then parts, base64url, header.
    ///
    /// - Parameter known: headers whose meaning is known already. One that the token begins with, byte for byte, need not
    ///   be decoded and read again.
    package init(parsing token: [UInt8], known: [Header] = []) throws(JSONWebSignatureError) {
        guard token.count <= Self.maximumByteCount else { throw .tooLarge }
        let dot = UInt8(ascii: ".")
        guard let first = token.firstIndex(of: dot), let second = token[(first + 1)...].firstIndex(of: dot),
            first > 0, second > first + 1, second + 1 < token.count, !token[(second + 1)...].contains(dot)
        else { throw .notThreeParts }
        guard let payload = Base64URL.decode(token[(first + 1)..<second]),
            let signature = Base64URL.decode(token[(second + 1)...])
        else { throw .notBase64URL }
        self.payload = payload
        self.signature = signature
        self.token = token
        signingEnd = second
        if let header = known.first(where: { $0.encoded.count == first && $0.encoded.elementsEqual(token[..<first]) }) {
            (algorithm, keyID, type) = (header.algorithm, header.keyID, header.type)
            return
        }
        guard let header = Base64URL.decode(token[..<first]) else { throw .notBase64URL }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue.parse(header) } catch { throw .headerNotJSON(error) }
        guard let members = value.object else { throw .headerNotAnObject }
        for name in Self.forbiddenMembers where members[name] != nil { throw .forbiddenMember(name) }
        guard let algorithm = members["alg"]?.string else { throw .headerMember("alg") }
        for name in ["kid", "typ"] where members[name] != nil && members[name]?.string == nil {
            throw .headerMember(name)
        }
        self.algorithm = algorithm
        keyID = members["kid"]?.string
        type = members["typ"]?.string
    }

    /// A header as Latchkey writes it, in base64url, with what it says.
    package struct Header: Sendable {
        let algorithm: String
        let keyID: String
        let type: String
        let encoded: [UInt8]

        package init(algorithm: SignatureAlgorithm, keyID: String, type: String) {
            self.algorithm = algorithm.rawValue
            self.keyID = keyID
            self.type = type
            encoded = Base64URL.encodedBytes(
                JSONWebSignature.header(algorithm: algorithm, keyID: keyID, type: type))
        }
    }

    /// Whether this is what the holder of the private half of `key` signed, by the key's own algorithm.
    ///
    /// The header's `alg` must agree, but chooses nothing: a token that says `HS256` would else be checked with our
    /// public key as its secret, and one that says `none` not at all (RFC 8725 §3.1).
    package func verify(with key: PublicKey) throws(JSONWebSignatureError) {
        guard algorithm.isSameText(as: key.algorithm.rawValue) else { throw .wrongAlgorithm }
        guard key.verify(signature, of: token[..<signingEnd]) else { throw .badSignature }
    }

    /// Whether `typ` is `name` with or without `application/`, in whatever case (RFC 7515 §4.1.9, RFC 9068 §4).
    package func hasType(_ name: String) -> Bool {
        // As Latchkey writes it: nothing is allocated.
        if let type, type.isSameText(as: name) { return true }
        // ASCII only: Unicode's folding would let U+212A KELVIN SIGN pass for "k".
        func folded(_ text: String) -> [UInt8] { text.utf8.map { 0x41...0x5a ~= $0 ? $0 | 0x20 : $0 } }
        guard let type = type.map(folded) else { return false }
        return type == folded(name) || type == folded("application/" + name)
    }

    /// What would fetch a key, bring one, change the signed bytes, or need an extension that we do not have: refused, not
    /// ignored (RFC 7515 §4.1, RFC 7797, RFC 7516 §4.1, RFC 8725 §3.10).
    private static let forbiddenMembers = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc"]
}

extension JSONWebSignature {
    /// The header of a token: `{"alg":…,"typ":…,"kid":…}`.
    package static func header(algorithm: SignatureAlgorithm, keyID: String, type: String) -> [UInt8] {
        JSONObject([("alg", .string(algorithm.rawValue)), ("typ", .string(type)), ("kid", .string(keyID))]).encoded()
    }

    /// The bytes that are signed (RFC 7515 §5.1). Signing happens on threads of its own, between this and `compact`.
    package static func signingInput(header: [UInt8], payload: [UInt8]) -> [UInt8] {
        Base64URL.encodedBytes(header) + [UInt8(ascii: ".")] + Base64URL.encodedBytes(payload)
    }

    /// The token that `signature` makes of `signingInput`.
    package static func compact(signingInput: [UInt8], signature: [UInt8]) -> String {
        String(decoding: signingInput + [UInt8(ascii: ".")] + Base64URL.encodedBytes(signature), as: UTF8.self)
    }

    /// Signs `payload` here and now: RSA takes up to 1 ms of this thread.
    package static func sign(
        payload: [UInt8], key: PrivateKey, keyID: String, type: String
    ) throws(CryptoError) -> String {
        let header = header(algorithm: key.algorithm, keyID: keyID, type: type)
        let input = signingInput(header: header, payload: payload)
        return compact(signingInput: input, signature: try key.sign(input))
    }
}
