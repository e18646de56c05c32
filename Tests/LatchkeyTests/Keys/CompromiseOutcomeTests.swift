import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

/// A node that loses its database in the middle of a compromise.
@Suite(.eachAnswerCounts) struct CompromiseOutcomeTests {
    /// Runs `body` with a node that reaches its database through a relay, beside one that reaches it directly.
    private func run(_ body: @Sendable (TestInstallation, TestNode, Relay, CompromiseScene) async throws -> Void)
        async throws
    {
        try await TestInstallation.run { it in
            let relay = try Relay(to: it.connectionString)
            defer { relay.close() }
            let node = try await it.node(behind: relay)
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(it, node, relay, try await CompromiseScene(it)))
            } catch {
                result = .failure(error)
            }
            relay.set(.open)
            await node.stop()
            try result.get()
        }
    }

    /// Sends `request` while the list's head is held, and runs `body` once it waits there with its COMMIT on the way.
    private func whileHeadIsHeld(
        _ it: TestInstallation, _ request: @escaping @Sendable () async throws -> TestNode.Answer,
        _ body: @Sendable () async throws -> Void
    ) async throws -> TestNode.Answer {
        let holder = Database.patient(it.connectionString)
        defer { holder.shutDown() }
        let answer = try await holder.transaction(timeout: 20_000_000_000) { transaction in
            try await transaction.query("SELECT seq FROM feed_head FOR UPDATE")
            let answer = Task { try await request() }
            try #require(
                try await becomesTrue {
                    try await it.database.query(
                        """
                        SELECT pid FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%revoked_keys%'
                        """
                    ).count == 1
                })
            try await body()
            return answer
        }
        return try await answer.value
    }

    private func compromise(_ kid: String, _ node: TestNode, _ administrator: String) async throws -> TestNode.Answer {
        try await node.post(
            "/admin/keys/\(kid)/compromise", ["reason": "a fault", "confirm": true], bearer: administrator)
    }

    @Test func `Whose COMMIT was not answered is 503, and repeated it is found done`() async throws {
        try await run { it, node, relay, scene in
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            let administrator = try await scene.administrator()
            // The server takes the COMMIT, and its answer never arrives.
            let answer = try await whileHeadIsHeld(it) {
                try await compromise(kid, node, administrator)
            } _: {
                relay.set(.mute)
            }
            #expect(answer.status == 503)
            #expect(answer.header("retry-after") != nil)
            relay.set(.open)
            // It is in force, though nobody was told so.
            for node in [it.node, node] {
                #expect(
                    try await becomesTrue {
                        try await node.get("/account", bearer: tokens.access).status == 401
                    })
            }
            let again = try await compromise(kid, node, try await scene.administrator())
            #expect(again.status == 202)
            #expect(again.json["already_compromised"] == true)
            #expect(again.header("latchkey-position").flatMap { FeedPosition(word: $0) }?.seq == 1)
            #expect(try await scene.entries(kid) == [3])
            #expect(try await it.audited("key.compromised", "key:\(kid)") == 1)
        }
    }

    @Test func `Whose connection ends before its COMMIT leaves nothing behind`() async throws {
        try await run { it, node, _, scene in
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            let administrator = try await scene.administrator()
            let lost = try await whileHeadIsHeld(it) {
                try await compromise(kid, node, administrator)
            } _: {
                try await it.database.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%revoked_keys%'
                    """)
            }
            #expect(lost.status == 503)
            #expect(try await scene.entries(kid) == [])
            #expect(try await scene.keys(.active) == [kid])
            #expect(try await it.audited("key.compromised", "key:\(kid)") == 0)
            #expect(try await it.node.admits(tokens))

            let again = try await compromise(kid, node, try await scene.administrator())
            #expect(again.status == 202)
            #expect(again.json["already_compromised"] == false)
            #expect(try await scene.entries(kid) == [3])
        }
    }

    @Test func `A restoration whose COMMIT was not answered is 503, and repeated it is found done`() async throws {
        try await run { it, node, relay, scene in
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            #expect(try await scene.compromise(kid).status == 202)
            let administrator = try await scene.administrator()
            let lost = try await whileHeadIsHeld(it) {
                try await node.post("/admin/keys/\(kid)/restore", bearer: administrator)
            } _: {
                relay.set(.mute)
            }
            #expect(lost.status == 503)
            relay.set(.open)
            #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
            let again = try await scene.restore(kid, on: node)
            #expect(again.status == 200)
            #expect(again["state"] == "retired")
            #expect(try await scene.entries(kid) == [3, 4])
            for node in [it.node, node] {
                #expect(
                    try await becomesTrue {
                        try await node.get("/account", bearer: tokens.access).status == 200
                    })
            }
        }
    }
}
