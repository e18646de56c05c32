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
        try text().components(separatedBy: "```json\n").dropFirst().map { $0.components(separatedBy: "\n```")[0] }
    }

    private static func text() throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: "docs/revocation.md"), encoding: .utf8)
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

    /// The events of the stream that stands there.
    private static func stream() throws -> [ServerSentEvent] {
        let text = try Self.text().components(separatedBy: "```event-stream\n")
        try #require(text.count == 2)
        var parser = EventStreamParser()
        return try parser.feed(Array((text[1].components(separatedBy: "```")[0] + "\n").utf8))
    }

    /// A follower that holds the first message.
    private static func follower(_ verifier: FeedVerifier) async throws -> FollowedSet {
        let set = FollowedSet(FollowerState(proof: .nonce, limit: Duration.seconds(600).nanoseconds))
        let documents = try Self.documents()
        let position = try #require(try JSONValue.parse(Array(documents[1].utf8)).object?["position"]?.string)
        try await take(
            [ServerSentEvent(name: "revoked", data: Array(documents[1].utf8), id: position)], into: set, verifier)
        return set
    }

    /// As `FeedReader` does.
    private static func take(
        _ events: [ServerSentEvent], into set: FollowedSet, _ verifier: FeedVerifier
    ) async throws {
        let clocks = Clocks { ClockReading(boot: 70_000_000_000, wall: 1_800_000_000_000) }
        var staged = StagedEntries()
        for event in events {
            switch try FeedEvent(event) {
            case .part(let entries):
                for entry in entries { try staged.append(entry) }
                staged.digest(FeedForge.octets(entries)[...])
            case .message(let signature, let entries):
                for entry in entries { try staged.append(entry) }
                staged.digest(FeedForge.octets(entries)[...])
                let request = FollowerState.Request(nonce: "bm9uY2U", sentAt: clocks.read())
                let isFirst = set.follower.position == nil
                try await set.take(
                    try verifier.verify(signature, over: staged), staged, answering: isFirst ? request : nil,
                    clocks: clocks)
                staged = StagedEntries()
            default: Issue.record("no event of a message")
            }
        }
    }

    @Test func `go on as a stream`() async throws {
        let set = try await Self.follower(try Self.verifier())
        #expect(set.count == 3)
        try await Self.take(try Self.stream(), into: set, try Self.verifier())
        #expect(set.follower.position?.word.hasSuffix(".5.DA0ODxAREhMUFRYX") == true)
        let session = try #require(UniqueID(text: "018f3e2a-7b1c-7d4e-8a5b-00000000000a"))
        #expect(set.contains(tokenID: session, sessionID: nil))
        #expect(set.count == 3 && !set.contains(keyID: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"))
        let now = ClockReading(boot: 71_100_000_000, wall: 1_800_000_001_100)
        #expect(set.ground(now).freshness == .fresh(age: 71_100_000_000 - 71_041_957_000))
    }

    /// The changes that stand there, each with what shows it.
    private static let changes: [(String, FeedFault, @Sendable (inout [ServerSentEvent]) -> Void)] = [
        ("the part is left out", .wrongEntries, { $0.removeFirst() }),
        ("the part comes twice", .wrongEntries, { $0.insert($0[0], at: 0) }),
        (
            "the part's exp is another", .wrongEntries,
            { $0[0].data = Array(String(decoding: $0[0].data, as: UTF8.self).replacing("00901", with: "00902").utf8) }
        ),
        (
            "the part's sid is a jti", .wrongEntries,
            { $0[0].data = Array(String(decoding: $0[0].data, as: UTF8.self).replacing("sid", with: "jti").utf8) }
        ),
        (
            "the signature's last letter is another", .badSignature,
            {
                let text = String(decoding: $0[1].data, as: UTF8.self).dropLast(2)
                let last = "ABCD".contains(text.last ?? "A") ? "Q" : "A"
                $0[1].data = Array((text.dropLast() + last + "\"}").utf8)
            }
        ),
        (
            "the signature is the heartbeat's", .wrongEntries,
            { events in
                let marker = "\"signature\":"
                let own = String(decoding: events[1].data, as: UTF8.self).components(separatedBy: marker)
                let other = String(decoding: events[2].data, as: UTF8.self).components(separatedBy: marker)
                events[1].data = Array((own[0] + marker + other[1]).utf8)
            }
        ),
        (
            "the part and the entry behind it change places", .wrongEntries,
            { events in
                func pieces(_ index: Int) -> [String] {
                    String(decoding: events[index].data, as: UTF8.self).components(separatedBy: "\"entries\":[")
                }
                let (part, last) = (pieces(0), pieces(1))
                let (first, rest) = (part[1].dropLast(2), last[1].components(separatedBy: "],"))
                events[0].data = Array("{\"entries\":[\(rest[0])]}".utf8)
                events[1].data = Array("\(last[0])\"entries\":[\(first)],\(rest[1])".utf8)
            }
        ),
        ("the message comes twice", .wrongEntries, { $0.insert($0[1], at: 2) }),
        ("both messages come twice", .gap, { $0.insert(contentsOf: $0[0...1], at: 2) }),
    ]

    @Test(arguments: changes.indices) func `are refused with one change, and nothing of them applied`(index: Int)
        async throws
    {
        let (_, fault, change) = Self.changes[index]
        let set = try await Self.follower(try Self.verifier())
        var events = try Self.stream()
        change(&events)
        await #expect(throws: fault) { try await Self.take(events, into: set, try Self.verifier()) }
        let isSecond = events.count > 3 && fault == .gap || index == Self.changes.count - 2
        #expect(set.follower.position?.seq == (isSecond ? 5 : 3))
        #expect(set.contains(keyID: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k") != isSecond)
    }

    @Test func `are refused of another issuer, another key and another position`() async throws {
        let jwk = try JSONWebKey(try JSONValue.parse(Array(Self.key.utf8)))
        let elsewhere = FeedVerifier(issuer: "https://id.example.org", keys: VerificationKeys([jwk]))
        await #expect(throws: FeedFault.wrongIssuer) { _ = try await Self.follower(elsewhere) }
        let other = try JSONWebKey(
            try JSONValue.parse(
                Array(
                    Self.key.replacing(
                        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                        with: JSONWebKey(
                            try PrivateKey.generate(.edDSA).publicKey
                        ).json["x"]?.string ?? ""
                    ).utf8)))
        await #expect(throws: (any Error).self) {
            _ = try await Self.follower(FeedVerifier(issuer: "https://id.example", keys: VerificationKeys([other])))
        }
        let set = FollowedSet(FollowerState(proof: .nonce, limit: Duration.seconds(600).nanoseconds))
        await #expect(throws: FeedFault.self) { try await Self.take(try Self.stream(), into: set, try Self.verifier()) }
        #expect(set.count == 0 && set.follower.position == nil)
    }
}
