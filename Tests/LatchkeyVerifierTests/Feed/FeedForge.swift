import JOSE
import LibCrypto

@testable import LatchkeyVerifier

/// Makes the messages of a feed by the words of `docs/revocation.md`, good and bad.
struct FeedForge: Sendable {
    let key: PrivateKey
    let keyID: String
    let issuer: String

    init(issuer: String = TokenForge.issuer) throws {
        key = try PrivateKey.generate(.edDSA)
        keyID = JSONWebKey(key.publicKey).keyID
        self.issuer = issuer
    }

    var jwks: JSONValue { ["keys": [.object(JSONWebKey(key.publicKey).json)]] }
    var verifier: FeedVerifier {
        FeedVerifier(issuer: issuer, keys: VerificationKeys([JSONWebKey(key.publicKey)]))
    }

    static func octets(_ entries: [FeedEntry]) -> [UInt8] {
        var octets: [UInt8] = []
        for entry in entries { entry.write(to: &octets) }
        return octets
    }

    static func json(_ entry: FeedEntry) -> JSONValue {
        switch entry {
        case .id(.token, let id, let exp): ["jti": .string(id.text), "exp": .integer(Int64(exp))]
        case .id(.session, let id, let exp): ["sid": .string(id.text), "exp": .integer(Int64(exp))]
        case .key(let name): ["kid": .string(name)]
        case .lift(let name): ["lift": .string(name)]
        }
    }

    /// The members of a message, without entries and signature.
    static func members(
        position: String, after: String? = nil, asOf: Int64 = 1000, now: Int64 = 1200, node: String = "node",
        iat: Int64 = 1_700_000_000, nonce: String? = nil, count: Int = 0
    ) -> JSONObject {
        JSONObject([
            ("epoch", .string(String(position.prefix(36)))), ("position", .string(position)),
            ("after", after.map { .string($0) }), ("as_of", .integer(asOf)), ("now", .integer(now)),
            ("node", .string(node)), ("time", "2023-11-14T22:13:20.000Z"), ("iat", .integer(iat)),
            ("nonce", nonce.map { .string($0) }), ("count", .integer(Int64(count))),
        ])
    }

    /// The signature over `members` and the digest of `entries`.
    func sign(
        _ members: JSONObject, _ entries: [FeedEntry], type: String = FeedVerifier.type, by other: PrivateKey? = nil,
        keyID: String? = nil, change: (inout JSONObject) -> Void = { _ in }
    ) throws -> [UInt8] {
        var claims = members
        claims["iss"] = .string(issuer)
        claims["digest"] = .string(Base64URL.encode(SHA256.digest(Self.octets(entries))))
        change(&claims)
        return Array(
            try JSONWebSignature.sign(
                payload: claims.encoded(), key: other ?? key, keyID: keyID ?? self.keyID, type: type
            ).utf8)
    }

    static func binary(_ members: JSONObject, _ entries: [FeedEntry], signature: [UInt8]) -> [UInt8] {
        let text = members.encoded()
        let length = (0..<4).map { UInt8(truncatingIfNeeded: text.count >> (24 - 8 * $0)) }
        return Array("LKR1".utf8) + length + text + octets(entries) + signature
    }

    static func event(
        _ name: String, id: String?, _ members: JSONObject, _ entries: [FeedEntry], signature: [UInt8]
    ) -> [UInt8] {
        var data = members
        data["entries"] = .array(entries.map(json))
        data["signature"] = .string(String(decoding: signature, as: UTF8.self))
        return Array("event: \(name)\n\(id.map { "id: \($0)\n" } ?? "")data: ".utf8) + data.encoded()
            + Array("\n\n".utf8)
    }
}

extension UniqueID {
    static func random() -> UniqueID {
        version7(millisecondsSince1970: 1_700_000_000_000, random: SecureRandom.bytes(10))
    }
}
