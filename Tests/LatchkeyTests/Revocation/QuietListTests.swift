import LatchkeyTesting
import Logging
import Postgres
import Testing

@testable import Latchkey

@Suite("The list behind quiet hours")
struct QuietListTests {
    /// As if nothing had happened for so long, and housekeeping had run.
    private func age(_ it: TestInstallation, by hours: Int64) async throws {
        try await it.database.query("UPDATE feed_batches SET at = at - make_interval(hours => \(hours)::int)")
        let installation = it.node.installation
        try await RevocationRing(installation.database, clock: installation.clock).forgetOld()
    }

    @Test func `goes on as the same one, at every node and for every follower`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let first = try await it.node.newUser("alice")
            let before = try #require(try await it.node.revoke(first.refresh).header("latchkey-position"))
            let head = it.node.installation.revocations.appendedAt
            for node in it.nodes {
                #expect(await becomesTrue { node.installation.revocations.position == head })
            }
            let followers = [try await FeedFollower.follow(it.nodes[0]), try await FeedFollower.follow(it.nodes[1])]
            #expect(await becomesTrue { followers.allSatisfy { $0.position == before } })

            try await age(it, by: 25)
            let second = try await it.node.logIn("alice")
            #expect(try await it.node.revoke(second.refresh).status == 200)
            let sid = try second.sid
            for (node, follower) in zip(it.nodes, followers) {
                #expect(await becomesTrue { node.installation.revocations.position?.seq == 2 })
                #expect(node.installation.revocations.extract?.history == 0)
                #expect(await becomesTrue { follower.holds(sid) })
                #expect(!follower.hasEnded && follower.events("resync").count == 1)
                await follower.stop()
            }
            // Who stood at the head is not a day behind: neither at a node that stood there, too, nor at one that is new.
            let late = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            for node in it.nodes + [late] {
                #expect(try ReceivedMessage(try await node.feed("?after=\(before)")).ids == [sid])
            }
            // A day after it had a successor it is.
            try await age(it, by: 25)
            #expect(try await late.feed("?after=\(before)").status == 410)
            await late.stop()
        }
    }

    @Test func `that lost a revocation does not answer for it`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.access).status == 200)
            let revocations = it.node.installation.revocations
            #expect(await becomesTrue { revocations.position?.seq == 1 })
            // Another history, in which the entry is another.
            try await it.database.batch([
                "UPDATE revocation_entries SET id = gen_random_uuid()",
                "UPDATE feed_head SET epoch = gen_random_uuid()",
            ])
            #expect(await becomesTrue { (revocations.extract?.history ?? 0) > 0 })
            #expect(try await it.node.admits(tokens) == false)
            // Asked again, as its owner may: the answer is of what the database holds.
            let again = try await it.node.revoke(tokens.access)
            #expect(again.status == 200)
            #expect(again.header("latchkey-position")?.split(separator: ".")[1] == "2")
            let late = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            #expect(try await late.admits(tokens) == false)
            await late.stop()
        }
    }

    @Test func `is read on the connection that proved a living primary`() async throws {
        try await TestCluster.withDatabase(migrations: Migrations.all) { connectionString in
            let database = Database.patient(connectionString)
            defer { database.shutDown() }
            // A server that tells of the list only behind a commit on the same connection.
            try await database.batch([
                """
                CREATE OR REPLACE FUNCTION history_identity() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
                BEGIN
                    IF current_setting('application_name') <> 'proved' THEN
                        RAISE EXCEPTION 'of another server';
                    END IF;
                    PERFORM set_config('application_name', '', false);
                    RETURN '1:00000001:3:4';
                END
                $$
                """,
                "UPDATE feed_head SET identity = '1:00000001:3:4'",
            ])
            let list = RevocationList(database, pulse: database, clock: NodeClock())
            let proof: Query = "SELECT set_config('application_name', 'proved', false) AS name"
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<64 { group.addTask { _ = try await list.read(on: database, behind: proof) } }
                try await group.waitForAll()
            }
            await #expect(throws: PostgresError.self) { try await list.read() }
        }
    }
}
