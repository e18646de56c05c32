import Foundation
import JOSE
import LibCrypto
import Testing

@testable import Latchkey

/// What `docs/revocation.md` gives whoever writes a follower is what the server's code says too.
@Suite("The feed's test vectors")
struct FeedVectorTests {
    /// What stands between fences in the section.
    private static func blocks() throws -> [String] {
        let text = try Repository.text("docs/revocation.md")
        let section = try #require(text.range(of: "## Test vectors")).upperBound
        return text[section...].components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 1 }.map {
            String($0.element.drop { $0 != "\n" }.dropFirst())
        }
    }

    private static func bytes(hex: String) -> [UInt8] {
        stride(from: 0, to: hex.utf8.count, by: 2).compactMap { UInt8(hex.dropFirst($0).prefix(2), radix: 16) }
    }

    @Test func `are one message in all its forms`() throws {
        let blocks = try Self.blocks()
        let key = try JSONWebKey(try JSONValue.parse(Array(blocks[0].utf8)))
        #expect(key.keyID == JSONWebKey.thumbprint(of: key.publicKey))
        let lines = blocks[1].split(separator: "\n").map(String.init)
        let forms = lines.prefix(3).map { Self.bytes(hex: $0) }
        #expect(Base64URL.encode(SHA256.digest(of: forms)) == lines[3])
        #expect(SHA256.digest(of: forms) == SHA256.digest(Array(forms.joined())))

        // The server's own entries, as it writes them.
        var json: [UInt8] = []
        EntryForm.appendJSON(Array(forms.joined()), to: &json)
        let line = blocks[2].trimmingCharacters(in: .newlines)
        #expect(line.contains("\"entries\":[\(String(decoding: json, as: UTF8.self))]"))

        let members = try #require(try JSONValue.parse(Array(line.utf8)).object)
        let message = try ReceivedMessage(members)
        #expect(message.forms == forms)
        let token = try JSONWebSignature(parsing: Array(try #require(members["signature"]?.string).utf8))
        try token.verify(with: key.publicKey)
        #expect(token.keyID == key.keyID && token.type == "latchkey-feed+jwt")
        let claims = try #require(try JSONValue.parse(token.payload).object)
        #expect(claims == (try JSONValue.parse(Array(blocks[4].utf8)).object))
        #expect(claims["digest"]?.string == lines[3])

        var rest = members
        rest["entries"] = nil
        rest["signature"] = nil
        let signed = FeedMessage.Signed(members: rest, signature: members["signature"]?.string ?? "")
        let body = FeedForm.binary.start(signed) + forms.joined() + FeedForm.binary.end(signed)
        let text = try Repository.text("docs/revocation.md")
        #expect(text.contains("has \(body.count) octets"))
        let digest = SHA256.digest(body).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(text.contains(digest))
        #expect(try ReceivedMessage(binary: body).forms == forms)
        #expect(FeedForm.json.start(signed) + json + FeedForm.json.end(signed) == Array(line.utf8))
    }
}
