import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite struct RestoredKeyTests {
    @Test func `What it signed is accepted again on every node, and it signs no more`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            let follower = try await Follower(it.nodes[1])
            #expect(try await scene.compromise(kid).status == 202)
            #expect(try await becomesTrue { try await it.nodes[1].admits(tokens) == false })
            #expect(try await becomesTrue { try follower.admits(tokens) == false })

            let answer = try await scene.restore(kid)
            #expect(answer.status == 200)
            #expect(answer["state"] == "retired")
            #expect(answer.header("latchkey-position").flatMap { FeedPosition(word: $0) }?.seq == 2)
            #expect(try await it.node.admits(tokens), "at once where it was asked for")
            #expect(try await becomesTrue { try await it.nodes[1].admits(tokens) })
            #expect(try await becomesTrue { try follower.admits(tokens) })
            await follower.stop()
            for node in it.nodes { #expect(try await CompromiseScene.published(node).contains(kid)) }
            #expect(try await it.node.logIn("alice").signer != kid)
            #expect(try await scene.entries(kid) == [3, 4])
            #expect(try await it.audited("key.restored", "key:\(kid)") == 1)

            // Asked for again it stays one; compromised again it is refused again, and taken back again.
            let again = try await scene.restore(kid, on: it.nodes[1])
            #expect(again.status == 200)
            #expect(again.header("latchkey-position") == answer.header("latchkey-position"))
            #expect(try await scene.compromise(kid, on: it.nodes[1]).json["already_compromised"] == false)
            for node in it.nodes { #expect(try await becomesTrue { try await node.admits(tokens) == false }) }
            #expect(try await scene.restore(kid, on: it.nodes[1]).status == 200)
            for node in it.nodes { #expect(try await becomesTrue { try await node.admits(tokens) }) }
            #expect(try await scene.entries(kid) == [3, 4, 3, 4])
        }
    }

    @Test func `A standby that never signed stands its lead anew`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let standby = try #require(try await scene.keys(.published).first)
            let before: Instant = try await it.database.query(
                "SELECT published_at FROM signing_keys WHERE kid = \(standby)"
            ).one().decode("published_at")
            #expect(try await scene.compromise(standby).status == 202)
            #expect(try await scene.restore(standby)["state"] == "published")
            let isStamped = try await becomesTrue {
                let row = try await it.database.query(
                    "SELECT published_at, founding FROM signing_keys WHERE kid = \(standby)"
                ).one()
                guard let after: Instant = try row.decodeIfPresent("published_at") else { return false }
                #expect(after > before)
                #expect(try row.decode("founding", as: Bool.self) == false, "it is not ripe at its stamp")
                return true
            }
            #expect(isStamped)
            #expect(try await CompromiseScene.published(it.node).contains(standby))
        }
    }

    @Test func `One whose private half is wiped stays refused`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            #expect(try await scene.compromise(kid).status == 202)
            try await it.database.query("UPDATE signing_keys SET sealed = NULL WHERE kid = \(kid)")
            let answer = try await scene.restore(kid)
            #expect(answer.status == 409)
            #expect(answer["code"] == "key-destroyed")
            #expect(try await it.node.admits(tokens) == false)
            #expect(try await scene.entries(kid) == [3])
        }
    }

    @Test func `One that had left the JWKS meanwhile does not come back to it`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try await it.node.newUser("alice").signer
            #expect(try await scene.compromise(kid).status == 202)
            try await it.database.query(
                "UPDATE signing_keys SET removed_at = clock_timestamp() WHERE kid = \(kid)")
            #expect(try await scene.restore(kid)["state"] == "removed")
            #expect(try await CompromiseScene.published(it.node).contains(kid) == false)
        }
    }
}
