import Foundation
import JOSE
import Latchkey
import LatchkeyTesting
import Testing

/// `LATCHKEY_INTERLEAVINGS=2000` for the long run.
@Suite("Refreshes and ends, interleaved")
struct InterleavingTests {
    /// Each is a session of its own.
    private static let pairs =
        ProcessInfo.processInfo.environment["LATCHKEY_INTERLEAVINGS"].flatMap { Int($0) } ?? 200
    private static let endings: [Ending] = [
        .logOut, .deleteOwn, .revokeByRefreshToken, .revokeByOldRefreshToken, .administratorDeletesSession,
        .administratorRevokesUser, .administratorDisables, .administratorSetsPassword, .changePassword, .roleTaken,
    ]

    @Test("leave no refresh token that works and no access token that is admitted, once the end was acknowledged")
    func noSurvivor() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await Ending.administrator(it)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        var generator = SeededGenerator(seed: UInt64(lane))
                        for round in 0..<Self.pairs / 4 {
                            let ending = Self.endings[(round * 4 + lane) % Self.endings.count]
                            try await self.round(it, ending, "u\(lane)-\(round)", administrator, &generator)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    private func round(
        _ it: TestInstallation, _ ending: Ending, _ name: String, _ administrator: String,
        _ generator: inout SeededGenerator
    ) async throws {
        let scene = try await Ending.scene(it, administrator: administrator, username: name)
        let (pause, end) = (Int.random(in: 0..<200, using: &generator), Int.random(in: 0..<2, using: &generator))
        async let minted = refreshOnAndOn(it, scene.victim)
        for _ in 0..<pause { await Task.yield() }
        let answer = try await ending.perform(scene, on: it.nodes[end])
        #expect(answer.status == (ending.actor == .anonymous ? 200 : 204), "\(ending)")
        // Acknowledged: what was minted before, and what is still being handed out, is dead on the node that said so.
        let all = try await minted
        #expect(try await it.row(scene.victim).cause == ending.cause)
        for tokens in all {
            #expect(try await it.nodes[end].admits(tokens) == false, "\(ending)")
        }
        for token in Set(all.map(\.refresh)) {
            it.expectInvalidGrant(try await it.nodes[end].refresh(token))
        }
    }

    /// A client with two tabs: each token is presented twice at once, on both nodes, and both get the same successor.
    /// Until one is refused.
    private func refreshOnAndOn(_ it: TestInstallation, _ first: TestNode.Answer) async throws -> [TestNode.Answer] {
        var minted = [first]
        for _ in 0..<40 {
            let token = minted[minted.count - 1].refresh
            async let one = it.nodes[0].refresh(token)
            async let two = it.nodes[1].refresh(token)
            let answers = [try await one, try await two]
            minted += answers.filter { $0.status == 200 }
            for answer in answers where answer.status != 200 {
                it.expectInvalidGrant(answer)
                return minted
            }
        }
        return minted
    }
}
