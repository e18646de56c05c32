import JOSE
import Latchkey
import LatchkeyTesting
import LibCrypto
import NIOHTTP1
import Testing

/// A message of the feed as a follower reads it by the words of `docs/revocation.md`, with nothing of the server's code:
/// its entries in binary are made from the JSON here.
struct ReceivedMessage: Sendable {
    let members: JSONObject
    /// Of all its entries, those of its parts too.
    let forms: [[UInt8]]

    init(_ members: JSONObject, parts: [JSONValue] = []) throws {
        self.members = members
        forms = try (parts + (members["entries"]?.array ?? [])).map { try Self.form($0) }
    }

    init(_ answer: TestNode.Answer, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try #require(answer.status == 200, "\(answer["detail"])", sourceLocation: sourceLocation)
        if answer.header("content-type") == "application/json" {
            try self.init(answer.json)
        } else {
            try self.init(binary: answer.body)
        }
    }

    struct CutOff: Error {}

    /// `LKR1`, length, members, entries, signature.
    init(binary body: [UInt8]) throws {
        try #require(body.count >= 8 && Array(body.prefix(4)) == Array("LKR1".utf8))
        let length = body[4..<8].reduce(0) { $0 << 8 | Int($1) }
        var members = try #require(try JSONValue.parse(Array(body[8..<(8 + length)])).object)
        var rest = body[(8 + length)...]
        var forms: [[UInt8]] = []
        for _ in 0..<Int(try #require(members["count"]?.int)) {
            let length = [1, 2].contains(rest.first) ? 21 : 44
            let form = Array(rest.prefix(length))
            guard form.count == length else { throw CutOff() }
            forms.append(form)
            rest = rest.dropFirst(form.count)
        }
        guard rest.count(where: { $0 == UInt8(ascii: ".") }) == 2 else { throw CutOff() }
        members["signature"] = .string(String(decoding: rest, as: UTF8.self))
        self.members = members
        self.forms = forms
    }

    private static func form(_ entry: JSONValue) throws -> [UInt8] {
        let entry = try #require(entry.object)
        for (kind, name) in [(UInt8(3), "kid"), (4, "lift")] {
            guard let kid = entry[name]?.string else { continue }
            try #require(kid.utf8.count == 43 && entry.members.count == 1)
            return [kind] + Array(kid.utf8)
        }
        try #require(entry.members.count == 2)
        let exp = UInt32(try #require(entry["exp"]?.int))
        let kind: UInt8 = entry["jti"] != nil ? 1 : 2
        let text = try #require((entry["jti"] ?? entry["sid"])?.string)
        let id = try #require(UniqueID(text: text))
        return [kind] + id.bytes + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: exp >> $0) }
    }

    subscript(name: String) -> JSONValue? { members[name] }

    var position: String { members["position"]?.string ?? "" }

    /// Ids of tokens and sessions.
    var ids: Set<UniqueID> { Set(forms.filter { $0[0] < 3 }.compactMap { UniqueID(bytes: Array($0[1..<17])) }) }

    func keyIDs(_ kind: UInt8 = 3) -> [String] {
        forms.filter { $0[0] == kind }.map { String(decoding: $0.dropFirst(), as: UTF8.self) }
    }

    /// What is signed is what stands there, by the key that the discovery document names.
    func verify(_ node: TestNode, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let document = try await node.get("/.well-known/openid-configuration").json
        let keys = try #require(document["latchkey_revocations_jwks"]?.object?["keys"]?.array)
        let token = try JSONWebSignature(parsing: Array((members["signature"]?.string ?? "").utf8))
        let key = try #require(try keys.map { try JSONWebKey($0) }.first { $0.keyID == token.keyID })
        try token.verify(with: key.publicKey)
        #expect(token.algorithm == "EdDSA" && token.type == "latchkey-feed+jwt", sourceLocation: sourceLocation)
        var claims = try #require(try JSONValue.parse(token.payload).object)
        #expect(claims["iss"]?.string == node.installation.settings.issuer, sourceLocation: sourceLocation)
        let digest = Base64URL.encode(SHA256.digest(Array(forms.joined())))
        #expect(claims["digest"]?.string == digest, sourceLocation: sourceLocation)
        #expect(claims["count"]?.int == Int64(forms.count), sourceLocation: sourceLocation)
        #expect(claims["iat"]?.int != nil, sourceLocation: sourceLocation)
        for name in ["iss", "digest", "iat"] { claims[name] = nil }
        var rest = members
        for name in ["entries", "signature"] { rest[name] = nil }
        #expect(claims == rest, sourceLocation: sourceLocation)
    }
}

extension FeedFollower {
    /// Messages with the entries of their parts.
    func received() throws -> [ReceivedMessage] {
        var parts: [JSONValue] = []
        var messages: [ReceivedMessage] = []
        for event in events {
            if event.name == "resync" { parts = [] }
            if event.id == nil {
                parts += event.entries
            } else {
                messages.append(try ReceivedMessage(event.data, parts: parts))
                parts = []
            }
        }
        return messages
    }
}

extension TestNode {
    func feed(_ query: String = "", _ headers: [(String, String)] = []) async throws -> Answer {
        try await send(.GET, "/revocations\(query)", headers: headers)
    }
}
