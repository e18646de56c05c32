import CZlib
import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import NIOHTTP1
import Testing

@testable import Latchkey

/// A status list token as a verifier reads it by the words of draft-ietf-oauth-status-list §8.3, with nothing of the
/// server's code but its JWS.
struct ReceivedStatusList: Sendable {
    let header: JSONWebSignature
    let claims: JSONObject
    let bits: [UInt8]

    /// By a key of the JWKS that `node` serves.
    init(_ answer: TestNode.Answer, _ node: TestNode, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try #require(answer.status == 200, "\(answer["detail"])", sourceLocation: sourceLocation)
        #expect(answer.header("content-type") == "application/statuslist+jwt", sourceLocation: sourceLocation)
        let token = String(decoding: answer.body, as: UTF8.self)
        // Larger than an access token may be: split by hand.
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        try #require(parts.count == 3, sourceLocation: sourceLocation)
        let short = parts[0] + ".e30." + parts[2]
        let header = try JSONWebSignature(parsing: Array(short.utf8))
        try #require(header.hasType("statuslist+jwt"), sourceLocation: sourceLocation)
        let keys = try #require(try await node.get("/.well-known/jwks.json").json["keys"]?.array)
        let key = try #require(try keys.map { try JSONWebKey($0) }.first { $0.keyID == header.keyID }).publicKey
        try #require(key.algorithm.rawValue == header.algorithm, sourceLocation: sourceLocation)
        try #require(
            key.verify(header.signature, of: Array((parts[0] + "." + parts[1]).utf8)), sourceLocation: sourceLocation)
        let payload = try #require(Base64URL.decode(parts[1].utf8))
        let claims = try #require(try JSONValue.parse(payload).object)
        let list = try #require(claims["status_list"]?.object)
        try #require(list["bits"]?.int == 1, sourceLocation: sourceLocation)
        self.header = header
        self.claims = claims
        bits = try Self.inflated(list["lst"]?.string ?? "")
    }

    struct NotInflated: Error {}

    /// - Parameter text: base64url of the ZLIB format.
    static func inflated(_ text: String) throws -> [UInt8] {
        let compressed = try #require(Base64URL.decode(text.utf8))
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        var count = UInt(bytes.count)
        guard uncompress(&bytes, &count, compressed, UInt(compressed.count)) == Z_OK else { throw NotInflated() }
        return Array(bytes.prefix(Int(count)))
    }

    /// nil where the index is out of bounds: no statement can be made.
    func isSet(_ index: Int64) -> Bool? {
        guard 0..<Int64(bits.count * 8) ~= index else { return nil }
        return bits[Int(index / 8)] & (1 << UInt8(index % 8)) != 0
    }

    var count: Int { bits.reduce(0) { $0 + $1.nonzeroBitCount } }
}

/// What a token says of where its status stands.
struct Reference: Sendable, Hashable {
    let index: Int64
    let uri: String

    /// nil where the token has no `status`.
    init?(_ answer: TestNode.Answer) throws {
        guard let status = try answer.claims["status"]?.object else { return nil }
        let list = try #require(status["status_list"]?.object)
        try #require(status.members.count == 1 && list.members.count == 2)
        index = try #require(list["idx"]?.int)
        uri = try #require(list["uri"]?.string)
    }

    /// Whether the node says that the token is revoked.
    func isSet(_ node: TestNode) async throws -> Bool? {
        let prefix = node.installation.settings.issuer
        try #require(uri.hasPrefix(prefix + "/"))
        let list = try await ReceivedStatusList(
            try await node.send(
                .GET, String(uri.dropFirst(prefix.count)), headers: [("accept", "application/statuslist+jwt")]), node)
        try #require(list.claims["sub"]?.string == uri)
        return list.isSet(index)
    }
}

extension TestInstallation {
    /// With status lists.
    static func withStatusLists<R: Sendable>(
        nodes: Int = 1, settings change: @Sendable (inout Settings) -> Void = { _ in },
        _ body: @Sendable (TestInstallation) async throws -> R
    ) async throws -> R {
        try await run(
            nodes: nodes,
            settings: { settings in
                settings.statusList.choice = .on
                change(&settings)
            }, body)
    }
}
