import AsyncHTTPClient
import JOSE
import LatchkeyTesting
import Metrics
import NIOCore
import Synchronization
import Testing

@testable import LatchkeyVerifier

@Suite("A feed that drips") struct FeedDripTests {
    /// Octets come every 10 ms, so that a connection is never silent for as long as it may be.
    private func read(
        _ path: String, of it: FakeIssuer, with reader: FeedReader,
        _ read: @escaping @Sendable (FeedReader, IssuerClient.Pieces, FollowerState.Request) async throws -> Void
    ) async throws {
        let client = IssuerClient()
        let request = FollowerState.Request(nonce: "n", sentAt: .now())
        let result: Result<Void, any Error>
        do {
            // Its own: what is revoked meanwhile comes behind it.
            let position = [("last-event-id", reader.revocations.follower.position?.word ?? it.position)]
            try await client.stream("\(it.issuer)\(path)?nonce=n", headers: position, silence: .seconds(30)) {
                try await read(reader, $2, request)
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await client.close()
        try result.get()
    }

    private func reader(_ it: FakeIssuer, silence: Duration, patience: Duration) throws -> FeedReader {
        let metrics = VerifierMetrics(factory: NOOPMetricsHandler.instance, startedAt: .now())
        let state = FollowerState(proof: .nonce, limit: Duration.seconds(30).nanoseconds)
        return FeedReader(
            verifier: try #require(it.forge.withLock { $0 }).verifier, revocations: FollowedSet(state),
            clocks: .machine, metrics: metrics, silence: silence, patience: patience)
    }

    @Test func `is left where its stream brings no event for too long, whatever octets it brings`() async throws {
        try await FakeIssuer.run { it in
            it.tamper(.drips)
            let reader = try reader(it, silence: .milliseconds(300), patience: .seconds(300))
            await #expect(throws: FetchFailure.silent) {
                try await read("/revocations/stream", of: it, with: reader) {
                    try await $0.readStream($1, answering: $2)
                }
            }
        }
    }

    @Test func `is left where its answer is not here in time, and believed where it is`() async throws {
        try await FakeIssuer.run { it in
            it.tamper(.drips)
            let hasty = try reader(it, silence: .seconds(10), patience: .milliseconds(300))
            await #expect(throws: FetchFailure.silent) {
                try await read("/revocations", of: it, with: hasty) { try await $0.readMessage($1, answering: $2) }
            }
            #expect(hasty.revocations.follower.position == nil)
            let patient = try reader(it, silence: .milliseconds(300), patience: .seconds(300))
            try await read("/revocations", of: it, with: patient) { try await $0.readMessage($1, answering: $2) }
            #expect(patient.revocations.follower.position?.word == it.position)
        }
    }

    /// `bytes` as they come in so many pieces of a length, with a pause before each.
    private func pieces(_ bytes: [UInt8], of length: Int, each pause: Duration) -> IssuerClient.Pieces {
        let starts = Mutex(Array(stride(from: 0, to: bytes.count, by: length)).makeIterator())
        let stream = AsyncStream<ByteBuffer> {
            guard let start = starts.withLock({ $0.next() }) else { return nil }
            try? await Task.sleep(for: pause)
            return ByteBuffer(bytes: bytes[start..<min(start + length, bytes.count)])
        }
        return IssuerClient.Pieces(body: .stream(stream), heard: IssuerClient.LastHeard())
    }

    private func reader(_ forge: FeedForge, patience: Duration) -> FeedReader {
        FeedReader(
            verifier: forge.verifier,
            revocations: FollowedSet(FollowerState(proof: .nonce, limit: Duration.seconds(30).nanoseconds)),
            clocks: .machine, metrics: VerifierMetrics(factory: NOOPMetricsHandler.instance, startedAt: .now()),
            silence: .seconds(30), patience: patience)
    }

    @Test(arguments: ["event: revoked\ndata: {\"entries\":[]}\n\n", "event: of-a-later-version\ndata: {}\n\n"])
    func `is left where its stream does not come to a message, whatever events it brings`(event: String) async throws {
        let reader = reader(try FeedForge(), patience: .milliseconds(300))
        let bytes = Array(String(repeating: event, count: 300).utf8)
        await #expect(throws: FetchFailure.silent) {
            try await reader.readStream(
                pieces(bytes, of: event.utf8.count, each: .milliseconds(10)),
                answering: FollowerState.Request(nonce: "n", sentAt: .now()))
        }
    }

    @Test func `is no long list that comes over a slow link`() async throws {
        let forge = try FeedForge()
        let reader = reader(forge, patience: .milliseconds(300))
        let entries = (0..<16_000).map { _ in FeedEntry.id(.token, .random(), expiresAt: 4_000_000_000) }
        let position = "\(UniqueID.random().text).5.AAAAAAAAAAAAAAAA"
        let members = FeedForge.members(position: position, nonce: "n", count: entries.count)
        let body = FeedForge.binary(members, entries, signature: try forge.sign(members, entries))
        try await reader.readMessage(
            pieces(body, of: 64 << 10, each: .milliseconds(150)),
            answering: FollowerState.Request(nonce: "n", sentAt: .now()))
        #expect(reader.revocations.count == 16_000)
    }

    @Test func `is not one whose events come soon enough`() async throws {
        try await FakeIssuer.run { it in
            let reader = try reader(it, silence: .seconds(2), patience: .seconds(300))
            try await read("/revocations", of: it, with: reader) { try await $0.readMessage($1, answering: $2) }
            it.tamper(.drips)
            async let entries: Void = {
                for _ in 0..<20 {
                    it.revoke(.random())
                    try? await Task.sleep(for: .milliseconds(200))
                }
                it.tamper(.cut)
            }()
            await #expect(throws: FetchFailure.ended) {
                try await read("/revocations/stream", of: it, with: reader) {
                    try await $0.readStream($1, answering: $2)
                }
            }
            await entries
        }
    }
}
