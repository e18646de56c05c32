import EmbeddedPostgres
import JOSE
import LatchkeyTesting
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// A streaming standby on the same machine takes over.
@Suite("A failover", .timeLimit(.minutes(5)), .eachAnswerCounts)
struct FailoverTests {
    /// A primary with one standby that follows it.
    private static func pair(
        _ body: @Sendable (HistoryScene, _ primary: OwnCluster, _ standby: OwnCluster) async throws -> Void
    ) async throws {
        try await HistoryScene.run { scene, primary in
            try await primary.copy(.standby("s1")).run { standby in
                try #require(
                    try await becomesTrue {
                        try await primary.value(
                            "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming') AS value")
                    })
                try await body(scene, primary, standby)
            }
        }
    }

    /// Clients that go on, and what they were told.
    private final class Load: Sendable {
        struct Told {
            var registered: [String] = []
            var revoked: [TestNode.Answer] = []
            var unexpected: [String] = []
        }

        let told = Mutex(Told())
        private let isOver = Atomic(false)
        private let number = Atomic(0)

        func end() { isOver.store(true, ordering: .relaxed) }

        private func check(_ answer: TestNode.Answer, _ what: String) -> Bool {
            let isGood = (200..<300).contains(answer.status)
            if !isGood, answer.status != 503 {
                told.withLock { $0.unexpected.append("\(what): \(answer.status)") }
            }
            return isGood
        }

        func refresh(_ node: TestNode, _ first: TestNode.Answer) async throws -> TestNode.Answer {
            var tokens = first
            while !isOver.load(ordering: .relaxed) {
                let answer = try await node.refresh(tokens.refresh)
                if check(answer, "refresh") { tokens = answer }
                try await Task.sleep(for: .milliseconds(10))
            }
            return tokens
        }

        func registerAndRevoke(_ node: TestNode) async throws {
            while !isOver.load(ordering: .relaxed) {
                let name = "load-\(number.wrappingAdd(1, ordering: .relaxed).newValue)"
                let made = try await node.post(
                    "/auth/register", ["username": .string(name), "password": "correct horse"])
                if check(made, "register") { told.withLock { $0.registered.append(name) } }
                let tokens = try await node.logIn("alice")
                if check(tokens, "log in"), check(try await node.revoke(tokens.refresh), "revoke") {
                    told.withLock { $0.revoked.append(tokens) }
                }
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    @Test func `to a synchronous standby loses nothing, and every node finds the new primary by itself`() async throws {
        try await Self.pair { scene, primary, standby in
            try await primary.administer(
                "ALTER SYSTEM SET synchronous_standby_names = 's1'", "SELECT pg_reload_conf()")
            try await scene.withNodes(2, HistoryScene.hosts(primary, standby), .synchronous) { nodes in
                // So that the row says what both nodes say, without waiting for the first housekeeping.
                _ = try await nodes[0].installation.revocations.narrow()
                let client = try await nodes[0].newUser("alice")
                let before = try await HistoryRow.read(primary.connectionString)
                let follower = try await FeedFollower.follow(nodes[1])
                let load = Load()
                let last = try await withThrowingTaskGroup(of: TestNode.Answer?.self) { group in
                    group.addTask { try await load.refresh(nodes[0], client) }
                    for node in nodes + nodes {
                        group.addTask {
                            try await load.registerAndRevoke(node)
                            return nil
                        }
                    }
                    do {
                        #expect(await becomesTrue { load.told.withLock { $0.revoked.count } > 20 })
                        await primary.server.stopImmediately()
                        let known = load.told.withLock { $0.registered.count }
                        try await standby.promote()
                        let start = ContinuousClock.now
                        for node in nodes {
                            #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
                        }
                        #expect(await becomesTrue { load.told.withLock { $0.registered.count } > known + 10 })
                        let healed = ContinuousClock.now - start
                        print("full service \(healed) after the promotion")
                        #expect(healed < .seconds(5))
                    } catch {
                        Issue.record(error)
                    }
                    load.end()
                    var last: TestNode.Answer?
                    for try await answer in group { last = answer ?? last }
                    return last
                }
                let told = load.told.withLock { $0 }
                #expect(told.unexpected == [])
                for name in told.registered {
                    #expect(
                        try await standby.value(
                            "SELECT EXISTS (SELECT FROM users WHERE username = '\(name)') AS value", as: Bool.self),
                        "\(name)")
                }
                for tokens in told.revoked {
                    #expect(try await nodes[1].refresh(tokens.refresh).status == 400)
                    #expect(try await nodes[1].admits(tokens) == false)
                }
                // No session ended, no key left, no follower had to begin anew.
                let tokens = try #require(last)
                #expect(try await nodes[1].admits(tokens))
                #expect(try await nodes[1].refresh(tokens.refresh).status == 200)
                let after = try await HistoryRow.read(standby.connectionString)
                #expect(after.epoch == before.epoch && after.fence == before.fence && after.ring == before.ring)
                #expect(after.identity != before.identity)
                #expect(follower.events("resync").count == 1)
                let position = nodes[1].installation.revocations.position?.seq ?? 0
                #expect(
                    await becomesTrue {
                        follower.position.flatMap { FeedPosition(word: $0) }.map { $0.seq >= position } ?? false
                    })
                for tokens in told.revoked { #expect(follower.holds(try tokens.sid)) }
                await follower.stop()
            }
        }
    }

    /// Nobody was told of it: its writer was answered 503.
    @Test func `to a synchronous standby is no loss of a commit that was seen and never confirmed`() async throws {
        try await Self.pair { scene, primary, standby in
            try await primary.administer(
                "ALTER SYSTEM SET synchronous_standby_names = 's1'", "SELECT pg_reload_conf()")
            try await scene.withNodes(1, HistoryScene.hosts(primary, standby), .synchronous) { nodes in
                let node = nodes[0]
                _ = try await node.installation.revocations.narrow()
                let witnesses = try await Witnesses.make(node)
                let before = try await HistoryRow.read(primary.connectionString)
                try await becomeDeaf(standby)
                let revoking = Task { try await node.revoke(witnesses.revoked.refresh).status }
                // Its wait is cancelled: it stands on the primary alone, and is read.
                #expect(
                    try await becomesTrue {
                        try await primary.administer(
                            """
                            SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                            WHERE wait_event = 'SyncRep' AND query LIKE 'WITH locked AS%'
                            """)
                        return node.installation.revocations.position?.seq == 1
                    })
                #expect(try await revoking.value == 503)

                await primary.server.stopImmediately()
                try await standby.promote()
                #expect(
                    try await becomesTrue {
                        guard try await node.get("/readyz").status == 200 else { return false }
                        return try await HistoryRow.read(standby.connectionString).identity != before.identity
                    })
                #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
                let after = try await HistoryRow.read(standby.connectionString)
                #expect(after.epoch == before.epoch && after.fence == before.fence && after.ring == before.ring)
                #expect(after.identity != before.identity)
                try await witnesses.expectAlive(node)
                #expect(try await node.revoke(witnesses.revoked.refresh).status == 200)
                #expect(try await node.admits(witnesses.revoked) == false)
                #expect(try await standby.value("SELECT seq = 1 AS value FROM feed_head", as: Bool.self))
            }
        }
    }

    @Test func `that lost commits ends every session and token on every node, once`() async throws {
        try await Self.pair { scene, primary, standby in
            try await scene.withNodes(2, HistoryScene.hosts(primary, standby)) { nodes in
                let witnesses = try await Witnesses.make(nodes[0])
                let before = try await HistoryRow.read(primary.connectionString)
                let followers = [try await FeedFollower.follow(nodes[0]), try await FeedFollower.follow(nodes[1])]
                // From here on the standby hears nothing.
                try await becomeDeaf(standby)
                #expect(try await nodes[0].revoke(witnesses.revoked.refresh).status == 200)
                let later = try await nodes[1].newUser("carol")
                #expect(later.status == 200)
                #expect(try await becomesTrue { try await nodes[1].admits(witnesses.revoked) == false })

                await primary.server.stopImmediately()
                try await standby.promote()
                let start = ContinuousClock.now
                for node in nodes {
                    #expect(
                        try await becomesTrue {
                            guard try await node.get("/readyz").status == 200 else { return false }
                            return try await node.logIn("alice").status == 200
                        })
                }
                let healed = ContinuousClock.now - start
                print("full service \(healed) after the promotion that lost commits")
                #expect(healed < .seconds(5))
                for node in nodes { try await witnesses.expectVoid(node, later) }
                let after = try await HistoryRow.read(standby.connectionString)
                #expect(after.epoch != before.epoch && after.fence > before.fence && after.ring > before.ring)
                #expect(
                    try await standby.value(
                        "SELECT count(*) AS value FROM audit_events WHERE action = 'history.lost'", as: Int64.self) == 1
                )
                // A standby that this history knows signs: no verifier has to fetch anything first.
                #expect(try await standby.value("SELECT count(*) AS value FROM revoked_keys", as: Int64.self) == 1)
                for node in nodes {
                    let now = try await ReceivedMessage(node.feed())
                    #expect(now.keyIDs() == [try witnesses.living.signer])
                    try await now.verify(node)
                }
                for follower in followers {
                    #expect(await becomesTrue { follower.hasEnded || follower.events("resync").count == 2 })
                    await follower.stop()
                }
                let again = try await FeedFollower.follow(
                    nodes[0], headers: [("last-event-id", try #require(followers[0].position))])
                #expect(await becomesTrue { again.holds(keyID: (try? witnesses.living.signer) ?? "") })
                #expect(again.events("resync").first?.data["reason"]?.string == "history")
                await again.stop()
            }
        }
    }

    /// No more of the primary's log reaches it.
    private func becomeDeaf(_ standby: OwnCluster) async throws {
        try await standby.administer("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        try #require(
            try await becomesTrue {
                try await standby.value("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver) AS value")
            })
    }

    @Test func `leaves an old primary that comes back without a node, whatever becomes of the new one`() async throws {
        try await Self.pair { scene, primary, standby in
            try await scene.withNodes(2, HistoryScene.hosts(primary, standby)) { nodes in
                #expect(try await nodes[0].newUser("alice").status == 200)
                await primary.server.stopImmediately()
                try await standby.promote()
                for node in nodes {
                    #expect(try await becomesTrue { try await node.logIn("alice").status == 200 })
                }
                let tokens = try await nodes[0].logIn("alice")
                #expect(tokens.status == 200)

                // It takes writes, and its own nodes would not know better.
                try await primary.server.restart()
                let marks =
                    "SELECT max(ticked_at)::text || ' ' || (SELECT count(*) FROM users) AS value FROM node_ticks"
                let mark: String = try await primary.value(marks)
                try await standby.administer(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'latchkey %'")
                standby.freeze()
                for node in nodes {
                    #expect(try await becomesTrue { try await node.get("/readyz").status == 503 })
                }
                for node in nodes {
                    for _ in 0..<3 {
                        #expect(
                            try await node.post("/auth/register", ["username": "dave", "password": "correct horse"])
                                .status == 503)
                        #expect(try await node.refresh(tokens.refresh).status == 503)
                    }
                }
                #expect(try await primary.value(marks, as: String.self) == mark)
                standby.thaw()
                for node in nodes {
                    #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
                    // A tick that the freeze held up makes a node ready for a moment, and the next one for good.
                    #expect(try await becomesTrue { try await node.admits(tokens) })
                }
                #expect(try await becomesTrue { try await nodes[1].refresh(tokens.refresh).status == 200 })
                // Not dave: what was sent into the freeze may have been carried out behind it.
                #expect(try await becomesTrue { try await nodes[0].newUser("erin").status == 200 })
                #expect(try await primary.value(marks, as: String.self) == mark)
            }
        }
    }
}
