import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import Postgres
import Testing

@testable import Latchkey

@Suite struct RevokedKeyTests {
    private static func entry(_ kind: KeyEntry.Kind, _ seq: Int64, _ keyID: String = "a") -> KeyEntry {
        KeyEntry(kind: kind, keyID: keyID, seq: seq)
    }

    @Test func `Of a key's entries the latest counts, in whatever order they arrive`() {
        var latest = LatestKeyEntries()
        for (entry, isAdmitted) in [
            (Self.entry(.kid, 5), true), (Self.entry(.kid, 5), false), (Self.entry(.lift, 4), false),
            (Self.entry(.lift, 6), true), (Self.entry(.kid, 5), false), (Self.entry(.kid, 2, "b"), true),
            (Self.entry(.kid, 7), true), (Self.entry(.lift, 6), false),
        ] {
            #expect(latest.admits(entry) == isAdmitted, "\(entry)")
        }
    }

    @Test func `A node's own entry that comes after its lift was read undoes nothing`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try #require(try await scene.keys(.active).first)
            let list = it.node.installation.revocations
            let compromised = try await scene.compromise(kid)
            #expect(compromised.status == 202)
            #expect(list.contains(keyID: kid))
            // A database that lacks it one day has lost something: it was acknowledged.
            #expect(list.appendedAt?.word == compromised.header("latchkey-position"))
            #expect(try await scene.restore(kid).status == 200)
            #expect(list.contains(keyID: kid) == false)
            let position = try #require(list.position)
            list.insert(Self.entry(.kid, 1, kid), at: position)
            #expect(list.contains(keyID: kid) == false)
            // A lift comes by reading alone.
            list.insert(Self.entry(.kid, 3, kid), at: position)
            list.insert(Self.entry(.lift, 4, kid), at: position)
            #expect(list.contains(keyID: kid))
        }
    }

    @Test func `A node that starts later, or reads the list from its start, knows every key`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let lifted = try tokens.signer
            #expect(try await scene.compromise(lifted).status == 202)
            #expect(try await it.node.revoke(try await it.node.logIn("alice").refresh).status == 200)
            #expect(try await scene.restore(lifted).status == 200)
            let kid = try #require(try await scene.keys(.active).first)
            #expect(try await scene.compromise(kid).status == 202)

            let node = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            let list = node.installation.revocations
            let answers = (list.contains(keyID: kid), list.contains(keyID: lifted), list.position?.seq)
            let admitted = try await node.admits(tokens)
            await node.stop()
            #expect(answers == (true, false, 4))
            #expect(admitted)
            #expect(list.position == it.node.installation.revocations.position)
        }
    }

    @Test func `In another history a key stays refused, and what that says of it counts from then on`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try #require(try await scene.keys(.active).first)
            let list = it.node.installation.revocations
            #expect(try await scene.compromise(kid).status == 202)
            #expect(try await scene.restore(kid).status == 200)
            #expect(try await scene.compromise(kid).status == 202)
            #expect(await becomesTrue { list.position?.seq == 3 })

            // Another epoch, in which the key leaked once: at a position before the one known.
            try await it.database.batch([
                "DELETE FROM revoked_keys WHERE seq > 1",
                "DELETE FROM audit_events WHERE action = 'key.restored'",
                """
                DELETE FROM audit_events
                WHERE id = (SELECT max(id) FROM audit_events WHERE action = 'key.compromised')
                """,
                "UPDATE feed_head SET epoch = gen_random_uuid(), seq = 1, digest = (SELECT digest FROM feed_batches WHERE seq = 1)",
                "DELETE FROM feed_batches WHERE seq > 1",
            ])
            #expect(await becomesTrue { list.position?.seq == 1 })
            #expect(list.contains(keyID: kid))
            #expect(try await scene.restore(kid).status == 200)
            #expect(list.position?.seq == 2)
            #expect(list.contains(keyID: kid) == false, "the new history's lift is at a position that the old one had")
        }
    }

    @Test func `Digests differ by kind and by key, and are chained`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kids = [try #require(try await scene.keys(.active).first)] + (try await scene.keys(.published))
            for kid in kids {
                #expect(try await scene.compromise(kid).status == 202)
                #expect(try await scene.restore(kid).status == 200)
            }
            let count: Int64 = try await it.database.query(
                "SELECT count(DISTINCT digest) AS count FROM feed_batches WHERE seq > 0"
            ).one().decode("count")
            #expect(count == 6)
            // As a follower computes it.
            var digest = SHA256.digest([])
            for row in try await it.database.query(
                """
                SELECT r.kind, r.kid, b.digest FROM revoked_keys r JOIN feed_batches b ON b.seq = r.seq ORDER BY r.seq
                """
            ).rows {
                let kind: Int16 = try row.decode("kind")
                let text: String = try row.decode("kid")
                digest = SHA256.digest(digest + [0, UInt8(kind)] + Array(text.utf8))
                #expect(try row.decode("digest", as: Bytes.self).bytes == digest)
            }
        }
    }
}
