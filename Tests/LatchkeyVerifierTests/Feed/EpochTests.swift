import JOSE
import LatchkeyTesting
import Logging
import Metrics
import Synchronization
import Testing

@testable import LatchkeyVerifier

/// Two epochs, the one after the other, and messages of both in whatever order somebody brings them.
@Suite("A message of another epoch") struct EpochTests {
    private static let (first, second) = (epoch(1), epoch(2))
    private static let (leaked, other) = (String(repeating: "L", count: 43), String(repeating: "O", count: 43))
    private static let proofs = [FollowerState.Proof.nonce, .wallClock(errorMilliseconds: 1000)]

    private let now = ClockReading.now()
    private var second: Int64 { now.wall / 1000 - 10 }

    private static func epoch(_ byte: UInt8) -> UniqueID {
        .version7(millisecondsSince1970: Int64(byte), random: [UInt8](repeating: byte, count: 10))
    }

    private func position(_ epoch: UniqueID, _ seq: Int64) throws -> FeedPosition {
        try #require(FeedPosition("\(epoch.text).\(seq).AAAAAAAAAAAAAAAA"))
    }

    private func followed(by proof: FollowerState.Proof) -> FollowedSet {
        FollowedSet(FollowerState(proof: proof, limit: Duration.seconds(60).nanoseconds))
    }

    /// - Parameter after: nil for the whole list.
    private func take(
        _ set: FollowedSet, _ epoch: UniqueID, _ seq: Int64, after: Int64? = nil, time: Int64, _ entries: [FeedEntry]
    ) async throws {
        var staged = StagedEntries()
        for entry in entries { try staged.append(entry) }
        let claims = FeedClaims(
            position: try position(epoch, seq), after: try after.map { try position(epoch, $0).word }, asOf: 1000,
            now: 1000, node: "node", time: time, nonce: "n", count: entries.count, digest: [])
        try await set.take(
            claims, staged, answering: FollowerState.Request(nonce: "n", sentAt: now), clocks: Clocks { now })
    }

    private func isFresh(_ set: FollowedSet) -> Bool {
        if case .fresh = set.ground(now).freshness { true } else { false }
    }

    @Test(arguments: proofs, [-30, 0] as [Int64])
    func `that has ended takes no revoked key back, as often as its last list is brought`(
        proof: FollowerState.Proof, age: Int64
    ) async throws {
        let set = followed(by: proof)
        try await take(set, Self.second, 9, time: second, [.key(Self.leaked)])
        for _ in 0..<3 {
            try await take(set, Self.first, 50, time: second + age, [.key(Self.other)])
            #expect(set.contains(keyID: Self.leaked) && set.contains(keyID: Self.other) && isFresh(set))
        }
        #expect(set.follower.applied?.epoch == Self.second)
        // What comes behind it, too.
        try await take(set, Self.first, 51, after: 50, time: second + age, [.lift(Self.leaked)])
        #expect(set.contains(keyID: Self.leaked))
        // The living epoch's own list says what is revoked.
        try await take(set, Self.second, 9, time: second, [.key(Self.leaked)])
        #expect(set.contains(keyID: Self.leaked) && !set.contains(keyID: Self.other))
        try await take(set, Self.second, 10, time: second + 1, [])
        #expect(set.count == 0)
    }

    @Test func `that begins is followed from its first list on`() async throws {
        let set = followed(by: .nonce)
        try await take(set, Self.first, 9, time: second, [.key(Self.leaked)])
        try await take(set, Self.second, 1, time: second + 1, [.key(Self.other)])
        #expect(set.contains(keyID: Self.leaked) && set.contains(keyID: Self.other))
        #expect(set.follower.applied?.epoch == Self.second)
        try await take(set, Self.second, 2, after: 1, time: second + 1, [.lift(Self.leaked)])
        #expect(!set.contains(keyID: Self.leaked))
    }

    @Test func `whose clock was set back is followed, and takes nothing back until it has passed the latest time`()
        async throws
    {
        let set = followed(by: .nonce)
        try await take(set, Self.first, 9, time: second, [.key(Self.leaked)])
        try await take(set, Self.second, 1, time: second - 3600, [])
        let begun = try position(Self.second, 1)
        #expect(isFresh(set) && set.follower.position == begun)
        try await take(set, Self.second, 2, after: 1, time: second - 3599, [.key(Self.other), .lift(Self.leaked)])
        #expect(set.contains(keyID: Self.leaked) && set.contains(keyID: Self.other))
        // Who waits for what he has revoked there does not wait for an hour.
        let there = try position(Self.second, 2)
        #expect(set.follower.hasApplied(there) && set.follower.reached == there)
        #expect(!set.follower.hasApplied(try position(Self.second, 3)))
        #expect(set.follower.hasApplied(try position(Self.first, 9)))
        try await take(set, Self.second, 3, after: 2, time: second + 1, [.lift(Self.other)])
        #expect(set.contains(keyID: Self.leaked) && !set.contains(keyID: Self.other))
        try await take(set, Self.second, 3, time: second + 2, [])
        #expect(set.count == 0)
    }

    @Test func `is none of the same epoch whose clock was set back: there the position tells`() async throws {
        let set = followed(by: .nonce)
        try await take(set, Self.first, 9, time: second, [.key(Self.leaked), .key(Self.other)])
        try await take(set, Self.first, 10, after: 9, time: second - 3600, [.lift(Self.leaked)])
        #expect(!set.contains(keyID: Self.leaked) && set.follower.applied?.seq == 10)
        try await take(set, Self.first, 11, time: second - 3600, [])
        #expect(set.contains(keyID: Self.other) && set.follower.applied?.seq == 11)
    }

    @Test func `is believed, as any, where a jump showed when it was asked for`() async throws {
        let set = followed(by: .nonce)
        set.observe(ClockReading(boot: 0, wall: 0))
        let ticks = Mutex(Int64(0))
        let clocks = Clocks {
            ticks.withLock { ticks in
                ticks += 1
                return ClockReading(boot: ticks * 1000, wall: 5000)
            }
        }
        let follower = RevocationFollower(
            issuer: TokenForge.issuer,
            directory: Directory(issuer: TokenForge.issuer, discovery: try #require(Endpoint(TokenForge.issuer))),
            credentials: nil, revocations: set, clocks: clocks,
            metrics: VerifierMetrics(factory: NOOPMetricsHandler.instance, startedAt: .now()),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let request = follower.newRequest()
        let claims = FeedClaims(
            position: try position(Self.first, 1), after: nil, asOf: 1000, now: 1000, node: "node", time: second,
            nonce: request.nonce, count: 0, digest: [])
        try await set.take(claims, StagedEntries(), answering: request, clocks: clocks)
        #expect(set.follower.applied?.seq == 1)
    }
}
