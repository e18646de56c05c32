import LatchkeyTesting
import Testing

@testable import Latchkey

@Suite("Who may read the feed")
struct FeedAccessTests {
    @Test(arguments: FeedAccess.allCases) func `is as the setting says`(access: FeedAccess) async throws {
        try await TestInstallation.run(settings: { $0.feed.access = access }) { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator, scope: "orders:read")
            let verifier = try await it.node.newClient(administrator, scope: "orders:read revocations")
            let disabled = try await it.node.newClient(administrator, scope: "revocations")
            let off = try await it.node.post("/admin/clients/\(disabled.id)/disable", bearer: administrator)
            #expect(off.status == 204)
            let table: [([(String, String)], [FeedAccess: Int])] = [
                ([], [.clients: 401, .verifiers: 401]),
                ([client.basic], [.verifiers: 403]), ([verifier.basic], [:]),
                ([disabled.basic], [.clients: 401, .verifiers: 401]),
                ([verifier.with(secret: "wrong").basic], [.clients: 401, .verifiers: 401]),
                ([RegisteredClient.basic("first-party:")], [.clients: 401, .verifiers: 401]),
                ([("authorization", "Bearer \(administrator)")], [.clients: 401, .verifiers: 401]),
            ]
            for (index, (headers, refusals)) in table.enumerated() {
                let expected = refusals[access] ?? 200
                let answer = try await it.node.feed("", headers)
                #expect(answer.status == expected, "\(index)")
                #expect((answer.header("www-authenticate") != nil) == (expected != 200), "\(index)")
                if expected == 200 {
                    let cache = access == .everyone ? "public, max-age=1" : "private, max-age=1"
                    #expect(answer.header("cache-control") == cache)
                }
                let follower = try await FeedFollower.follow(it.node, headers: headers)
                #expect(follower.status == expected, "\(index)")
                await follower.stop()
            }
        }
    }

    @Test(arguments: FeedAccess.allCases)
    func `is asked again after a while of those who follow, where not everyone may`(access: FeedAccess) async throws {
        try await TestInstallation.run(
            settings: {
                $0.feed.access = access
                $0.feed.longestStream = 2_000_000_000
            }
        ) { it in
            let administrator = try await it.node.administrator()
            let verifier = try await it.node.newClient(administrator, scope: "revocations")
            let headers = access == .everyone ? [] : [verifier.basic]
            let begun = ContinuousClock.now
            let follower = try await FeedFollower.follow(it.node, headers: headers)
            #expect(follower.status == 200)
            let off = try await it.node.post("/admin/clients/\(verifier.id)/disable", bearer: administrator)
            #expect(off.status == 204)
            if access == .everyone {
                #expect(await becomesTrue { follower.events("heartbeat").count >= 4 })
                #expect(!follower.hasEnded)
            } else {
                #expect(await becomesTrue { follower.hasEnded })
                #expect(ContinuousClock.now - begun >= .seconds(2))
                // It was an end, not a loss.
                #expect(follower.messages.count > 1)
                let again = try await FeedFollower.follow(
                    it.node, headers: headers + [("last-event-id", follower.position ?? "")])
                #expect(again.status == 401)
            }
            await follower.stop()
        }
    }
}
