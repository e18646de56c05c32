import Foundation
import JOSE
import LibCrypto
import Testing

@testable import LatchkeyVerifier

/// The test vectors of `docs/revocation.md`, read from there.
@Suite("The feed's test vectors")
struct FeedVectorTests {
    private static let key = """
        {"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",\
        "kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","use":"sig","alg":"EdDSA"}
        """

    /// The JSON documents that stand there, in their order.
    private static func documents() throws -> [String] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/revocation.md"), encoding: .utf8)
        return text.components(separatedBy: "```json\n").dropFirst().map { $0.components(separatedBy: "\n```")[0] }
    }

    private static func verifier() throws -> FeedVerifier {
        let jwk = try JSONWebKey(try JSONValue.parse(Array(key.utf8)))
        return FeedVerifier(issuer: "https://id.example", keys: VerificationKeys([jwk]))
    }

    @Test func `are believed in every form`() throws {
        let documents = try Self.documents()
        try #require(documents.count == 4)
        #expect(documents[0] == Self.key)
        let message = try #require(try JSONValue.parse(Array(documents[1].utf8)).object)

        // As an event of a stream.
        let position = try #require(message["position"]?.string)
        var parser = EventStreamParser()
        let event = try #require(
            try parser.feed(Array("event: revoked\nid: \(position)\ndata: \(documents[1])\n\n".utf8)).first)
        guard case .message(let signature, let entries) = try FeedEvent(event) else {
            Issue.record("no message")
            return
        }
        var staged = StagedEntries()
        for entry in entries { try staged.append(entry) }
        staged.digest(FeedForge.octets(entries)[...])
        let claims = try Self.verifier().verify(signature, over: staged)
        #expect(claims.position.seq == 3 && claims.nonce == "bm9uY2U" && claims.after == nil && claims.count == 3)
        #expect(claims.asOf == 5_000_123 && claims.now == 5_000_457 && claims.time == 1_800_000_000)
        #expect(claims.node == "018f3e2a-0000-7000-8000-000000000001")
        #expect(Base64URL.encode(claims.digest) == "ZSJxop6RiCWv1SqBAGW3yafXd4kyNy5INNv7eI_kx7w")

        // In binary.
        let members = Array(documents[2].utf8)
        let body =
            Array("LKR1".utf8) + [0, 0, UInt8(members.count >> 8), UInt8(members.count & 255)] + members
            + FeedForge.octets(entries) + signature
        #expect(body.count == 1033)
        #expect(
            SHA256.digest(body).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                == "e4736836a3dfdbd328f02d2c4db374d4b2d20547042f3bcd960857a35ecdf075")
        var binary = BinaryMessageParser()
        try binary.feed(body)
        let (other, same) = try binary.finish()
        #expect(try Self.verifier().verify(other, over: same) == claims)
        let set = same.intoSet()
        let session = try #require(UniqueID(text: "018f3e2a-7b1c-7d4e-8a5b-fedcba987654"))
        #expect(set.count == 2 && set.contains(session))
    }

    @Test func `give the freshness that stands there`() throws {
        var state = FollowerState(proof: .nonce, limit: Duration.seconds(600).nanoseconds)
        let word = "0b9c6b1e-3b1f-4c7a-9d63-5f0f3a0c1d2e.3.AAECAwQFBgcICQoL"
        func claims(asOf: Int64, now: Int64, nonce: String?) throws -> FeedClaims {
            FeedClaims(
                position: try #require(FeedPosition(word)), after: nonce == nil ? word : nil, asOf: asOf, now: now,
                node: "n", time: 1_800_000_000, nonce: nonce, count: 0, digest: [])
        }
        func clock(_ milliseconds: Int64) -> ClockReading {
            ClockReading(boot: milliseconds * 1_000_000, wall: 1_800_000_000_000 + milliseconds)
        }
        let request = FollowerState.Request(nonce: "n", sentAt: clock(70_000))
        state.didApply(try claims(asOf: 5_000_123, now: 5_000_457, nonce: "n"), answering: request, at: clock(70_100))
        // 69,666, and a thousandth of the span more, since two clocks may drift either way.
        #expect(state.freshness(clock(100_000)) == .fresh(age: 100_000_000_000 - 69_665_666_000))
        state.didApply(try claims(asOf: 5_060_457, now: 5_060_500, nonce: nil), answering: nil, at: clock(130_200))
        #expect(state.freshness(clock(130_200)) == .fresh(age: 130_200_000_000 - 129_940_000_000))
    }
}
