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
}
