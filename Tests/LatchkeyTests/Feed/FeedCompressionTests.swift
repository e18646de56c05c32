import Foundation
import HTTPTypes
import JOSE
import LatchkeyTesting
import LibCrypto
import NIOCore
import Testing

@testable import Latchkey

/// `Accept-Encoding` of `GET /revocations`.
@Suite("The revocation list, compressed")
struct FeedCompressionTests {
    private static let forms = ["application/json", "application/vnd.latchkey.revocations"]
    private static let count = 40

    private static func revoke(_ it: TestInstallation, _ count: Int = Self.count) async throws {
        let list = it.node.installation.revocations
        for _ in 0..<count {
            let id = UniqueID.version7(millisecondsSince1970: 1_800_000_000_000, random: SecureRandom.bytes(10))
            _ = try await list.revoke(
                tokenID: id, audit: .tokenRevoked(token: id.text, reason: nil), origin: Origin(actor: "test"))
        }
        #expect(await becomesTrue { list.position == list.appendedAt })
    }

    private static func get(
        _ it: TestInstallation, _ query: String = "", _ form: String = forms[0], _ headers: [(String, String)] = []
    ) async throws -> TestNode.Answer {
        try await it.node.feed(query, [("accept", form), ("accept-encoding", "gzip")] + headers)
    }

    /// As the gzip of this machine unpacks it, which complains of a wrong checksum.
    private static func unpacked(_ body: [UInt8]) async throws -> [UInt8] {
        let place = FileManager.default.temporaryDirectory.appending(path: "latchkey-gzip-\(UUID().uuidString)").path
        defer { for end in [".gz", ""] { try? FileManager.default.removeItem(atPath: place + end) } }
        try Data(body).write(to: URL(fileURLWithPath: place + ".gz"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/gzip")
        process.arguments = ["--decompress", place + ".gz"]
        let status: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try #require(status == 0)
        return Array(try Data(contentsOf: URL(fileURLWithPath: place)))
    }

    @Test func `is the same message in fewer octets`() async throws {
        try await TestInstallation.run { it in
            let start = try ReceivedMessage(try await it.node.feed()).position
            try await Self.revoke(it)
            for form in Self.forms {
                for query in ["", "?nonce=n", "?after=\(start)"] {
                    let plain = try await it.node.feed(query, [("accept", form)])
                    let packed = try await Self.get(it, query, form)
                    #expect(plain.header("content-encoding") == nil)
                    #expect(packed.header("content-encoding") == "gzip")
                    #expect(packed.header("content-type") == form)
                    #expect(packed.body.starts(with: [0x1f, 0x8b]))
                    // Ids are random: an octet of the binary form hardly shrinks.
                    #expect(packed.body.count < plain.body.count * (form == Self.forms[0] ? 75 : 99) / 100)
                    for answer in [plain, packed] { #expect(answer.header("vary") == "Accept, Accept-Encoding") }
                    let body = try await Self.unpacked(packed.body)
                    let message =
                        form == Self.forms[0]
                        ? try ReceivedMessage(try #require(try JSONValue.parse(body).object))
                        : try ReceivedMessage(binary: body)
                    try await message.verify(it.node)
                    #expect(message.forms == (try ReceivedMessage(plain)).forms)
                    #expect(message.forms.count == Self.count)
                }
            }
        }
    }

    @Test func `has a tag of its own, and is not sent again to who has it`() async throws {
        try await TestInstallation.run { it in
            try await Self.revoke(it)
            var hasNotModified = false
            // A second may pass between the two: then there is a new one.
            for _ in 0..<20 where !hasNotModified {
                let (plain, packed) = (try await it.node.feed(), try await Self.get(it))
                let etag = try #require(packed.header("etag"))
                #expect(plain.header("etag") != etag)
                #expect(try await it.node.feed("", [("if-none-match", etag)]).status == 200)
                let again = try await Self.get(it, "", Self.forms[0], [("if-none-match", etag)])
                guard again.status == 304 else { continue }
                hasNotModified = true
                #expect(again.body.isEmpty && again.header("etag") == etag)
                #expect(again.header("vary") == "Accept, Accept-Encoding")
            }
            #expect(hasNotModified)
        }
    }

    @Test func `is compressed once for all who ask`() async throws {
        try await TestInstallation.run { it in
            let start = try ReceivedMessage(try await it.node.feed()).position
            try await Self.revoke(it)
            let made = it.node.installation.feed.compression.made
            let before = made.reading
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<60 {
                    let query = ["", "?nonce=n\(number)", "?after=\(start)"][number % 3]
                    group.addTask {
                        let answer = try await Self.get(it, query, Self.forms[number % 2])
                        #expect(answer.header("content-encoding") == "gzip")
                    }
                }
                try await group.waitForAll()
            }
            #expect(made.reading - before == 2)
        }
    }

    @Test func `is left as it is where it is short, held, or a stream`() async throws {
        try await TestInstallation.run { it in
            try await Self.revoke(it, FeedCompression.counts.lowerBound - 1)
            let short = try await Self.get(it)
            #expect(short.header("content-encoding") == nil)
            let position = try ReceivedMessage(short).position
            let held = try await Self.get(it, "?after=\(position)&wait=1")
            #expect(held.header("content-encoding") == nil)
            #expect(try ReceivedMessage(held).position == position)
            let follower = try await FeedFollower.follow(it.node, headers: [("accept-encoding", "gzip")])
            #expect(await becomesTrue { follower.ids.count == FeedCompression.counts.lowerBound - 1 })
            await follower.stop()
        }
    }

    @Test(
        "is asked for by name, or by a star, with a weight",
        arguments: [
            (["gzip"], true), (["br, GZip ;q=0.5"], true), (["x-gzip"], true), (["br", "gzip"], true), (["*"], true),
            (["identity, *;q=0.1"], true), (["gzip;q=0.001"], true), ([], false), ([""], false), (["br"], false),
            (["gzip;q=0"], false), (["gzip; q=0.000"], false), (["gzip;Q=0, *"], false), (["*;q=0"], false),
            (["gzipped"], false), (["identity"], false), (["gzip-not, deflate"], false), ([";;,,"], false),
        ])
    func asking(fields: [String], isTaken: Bool) {
        var headers = HTTPFields()
        for field in fields { headers.append(HTTPField(name: .acceptEncoding, value: field)) }
        #expect((FeedCoding.of(headers) == .gzip) == isTaken)
    }

    @Test func `stands together from parts of any length`() throws {
        let long = SecureRandom.bytes(70_000)
        for parts in [[], [[]], [[1], [], [2, 3]], [long, [7], long]] as [[[UInt8]]] {
            let stored = Gzip.member(parts.map { Gzip.store($0) })
            let packed = Gzip.member(try parts.map { try #require(Gzip.compress(ByteBuffer(bytes: $0))) })
            for member in [stored, packed] {
                let bytes = member.flatMap { Array($0.readableBytesView) }
                // The trailer: CRC-32 and length of all, whatever parts they came in (RFC 1952 §2.3.1).
                let whole = Gzip.member([Gzip.store(parts.flatMap { $0 })]).flatMap { Array($0.readableBytesView) }
                #expect(bytes.suffix(8) == whole.suffix(8))
            }
        }
        // RFC 1952 §8's CRC-32 of "123456789" is 0xcbf43926, as in every table of checksums.
        let member = Gzip.member([Gzip.store(Array("1234".utf8)), Gzip.store(Array("56789".utf8))])
        #expect(member.flatMap { Array($0.readableBytesView) }.suffix(8) == [0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0])
    }
}
