import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

@Suite struct CompromiseTests {
    @Test func `A compromised signer is refused here at once and elsewhere soon, and one refresh recovers`()
        async throws
    {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            let follower = try await Follower(it.nodes[1])
            #expect(try follower.admits(tokens))

            let answer = try await scene.compromise(kid)
            #expect(answer.status == 202)
            #expect(answer.header("cache-control") == "no-store")
            #expect(answer.header("latchkey-position").flatMap { FeedPosition(word: $0) }?.seq == 1)
            #expect(answer["state"] == "compromised")
            #expect(answer.json["already_compromised"] == false)
            let next = try #require(answer.json["signs_next"]?.object)
            #expect(next["ripe"] == true)

            #expect(try await it.node.admits(tokens) == false)
            #expect(try await CompromiseScene.published(it.node).contains(kid) == false)
            #expect(try await becomesTrue { try await it.nodes[1].admits(tokens) == false })
            #expect(try await becomesTrue { try await CompromiseScene.published(it.nodes[1]).contains(kid) == false })
            #expect(await becomesTrue { (try? follower.admits(tokens)) == false })
            await follower.stop()
            for node in it.nodes {
                let inspected = try await node.form(
                    "/oauth2/introspect", [("token", tokens.access)], bearer: try await scene.administrator())
                #expect(inspected.json == ["active": false])
            }

            let recovered = try await it.nodes[1].refresh(tokens.refresh)
            #expect(recovered.status == 200)
            #expect(try recovered.signer == next["kid"]?.string)
            for node in it.nodes { #expect(try await node.admits(recovered)) }
            #expect(try await it.row(tokens).isLive)
            #expect(try await scene.entries(kid) == [3])
            #expect(try await it.audited("key.compromised", "key:\(kid)") == 1)
            #expect(try await scene.keys(.compromised) == [kid])
            let isWhole = try await becomesTrue { try await CompromiseScene.published(it.node).count == 3 }
            #expect(isWhole, "a signer and two standbys")
        }
    }

    @Test func `Unconfirmed it changes nothing and says what it would do`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try await it.node.newUser("alice").signer
            let gone = try await it.node.logIn("alice")
            #expect(try await it.node.revoke(gone.refresh).status == 200)
            let administrator = try await scene.administrator()
            for body: JSONValue? in [nil, [:], ["reason": "x"], ["reason": "x", "confirm": false], ["confirm": .null]] {
                let answer = try await it.node.post("/admin/keys/\(kid)/compromise", body, bearer: administrator)
                #expect(answer.status == 200)
                #expect(answer.header("latchkey-position") == nil)
                #expect(answer["state"] == "active")
                #expect(answer.json["already_compromised"] == false)
                #expect(answer.json["signs_next"]?.object?["ripe"] == true)
                // Of `root` one session by `administrator` and the scene's own, and alice's.
                #expect(answer.json["sessions"] == 3)
                #expect(answer.json["tokens_alive"] == 3)
                #expect(answer["counted"] == "whole")
                #expect(answer.json["nodes_know_within"] == 2)
                #expect(answer.json["jwks_caches_know_within"] == 12)
                #expect(answer.json["last_jwks_cache_knows_within"] == 42)
                #expect(answer.json["effects"]?.array?.count == 3)
            }
            #expect(try await scene.entries(kid) == [])
            #expect(try await scene.keys(.active) == [kid])
            let standby = try #require(try await scene.keys(.published).first)
            let other = try await scene.foresee(standby)
            #expect(other["state"] == "published")
            #expect(other.json["signs_next"] == nil)
            #expect(other.json["tokens_alive"] == 0)
            #expect(other.json["sessions"] == 3)
        }
    }

    static let refusals: [(String, String, JSONValue, Int, String)] = [
        ("an unknown key", "nobody", ["reason": "x", "confirm": true], 404, "not-found"),
        ("an unknown key, unconfirmed", "nobody", [:], 404, "not-found"),
        ("no reason", "KID", ["confirm": true], 400, "missing-field"),
        ("a reason that is none", "KID", ["reason": 1, "confirm": true], 400, "wrong-type"),
        ("a confirmation that is none", "KID", ["reason": "x", "confirm": "true"], 400, "wrong-type"),
        ("no object", "KID", [], 400, "bad-json"),
    ]

    @Test func `It is refused where the request is not one`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try #require(try await scene.keys(.active).first)
            let administrator = try await scene.administrator()
            for (name, path, body, status, code) in Self.refusals {
                let path = "/admin/keys/\(path.replacing("KID", with: kid))/compromise"
                let answer = try await it.node.post(path, body, bearer: administrator)
                #expect(answer.status == status, "\(name)")
                #expect(answer["code"] == code, "\(name)")
            }
            #expect(try await scene.entries(kid) == [])
            #expect(try await scene.restore("nobody").status == 404)
            let restored = try await scene.restore(kid)
            #expect(restored.status == 409)
            #expect(restored["code"] == "not-compromised")
        }
    }

    @Test(.eachAnswerCounts) func `Two at once on two nodes are one, and a repetition says when it was`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            let kid = try await it.node.newUser("alice").signer
            let administrator = try await scene.administrator()
            let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        try await it.nodes[number % 2].post(
                            "/admin/keys/\(kid)/compromise", ["reason": "both", "confirm": true],
                            bearer: administrator)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            // Whoever came after the first one's end had a token that was dead by then; who waited for two seconds on a busy
            // machine asks again.
            let done = answers.filter { $0.status == 202 }
            #expect(answers.allSatisfy { [202, 401, 503].contains($0.status) }, "\(answers.map(\.status))")
            #expect(!done.isEmpty && done.count { $0.json["already_compromised"] == false } <= 1)
            let again = try await scene.compromise(kid, on: it.nodes[1])
            #expect(again.status == 202)
            #expect(again.json["already_compromised"] == true)
            #expect(again.json["signs_next"] == nil)
            #expect(Set((done + [again]).map { $0["compromised_at"] }).count == 1)
            #expect(Set((done + [again]).map { $0.header("latchkey-position") }).count == 1)
            #expect(try await scene.entries(kid) == [3])
            #expect(try await it.audited("key.compromised", "key:\(kid)") == 1)
            let foreseen = try await scene.foresee(kid)
            #expect(foreseen["state"] == "compromised")
            #expect(foreseen["compromised_at"] == again["compromised_at"])
        }
    }

    @Test func `A standby that does not open is passed over`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            func damage(_ which: Query) async throws -> [String] {
                try await it.database.query(
                    """
                    UPDATE signing_keys SET sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))
                    WHERE kid IN (
                        SELECT kid FROM signing_keys WHERE activates_at IS NULL AND compromised_at IS NULL
                        ORDER BY published_at, created_at, kid LIMIT \(which))
                    RETURNING kid
                    """
                ).rows.map { try $0.decode("kid") }
            }
            let first = try #require(try await damage("1").first)
            let signer = try await it.node.newUser("alice").signer
            let foreseen = try await scene.foresee(signer)
            #expect(foreseen.json["signs_next"]?.object?["kid"]?.string != first)
            let answer = try await scene.compromise(signer)
            #expect(answer.status == 202)
            let next = try #require(answer.json["signs_next"]?.object?["kid"]?.string)
            #expect(next != first)
            #expect(try await it.node.logIn("alice").signer == next)
            #expect(try await it.node.get("/readyz").status == 200)
        }
    }

    @Test func `A dry run counts the tokens of a database whose clock went back`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try await it.node.newUser("alice").signer
            let before = try #require(try await scene.foresee(kid).json["tokens_alive"]?.int)
            #expect(before > 0)
            // The clock of the keys is an hour ahead, and that of the tokens is not.
            try await it.database.query("UPDATE node_ticks SET seen_at = clock_timestamp() + interval '1 hour'")
            #expect(try await scene.foresee(kid).json["tokens_alive"]?.int == before)
        }
    }

    @Test func `Without any other key one is made first`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            // Both standbys leak; the worker of no node is quick enough to replace them.
            try await it.database.batch([
                "DELETE FROM signing_keys WHERE activates_at IS NULL", "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await scene.compromise(kid).status == 202)
            let recovered = try await it.node.refresh(tokens.refresh)
            #expect(recovered.status == 200)
            #expect(try recovered.signer != kid)
            #expect(try await it.node.admits(recovered))
            #expect(try await becomesTrue { try await scene.keys(.published).count == 2 })
        }
    }

    @Test func `Under load no refresh fails, whatever it was doing when its key went`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            var born: [TestNode.Answer] = [try await it.node.newUser("alice")]
            for _ in 0..<11 { born.append(try await it.node.logIn("alice")) }
            let last = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for (number, tokens) in born.enumerated() {
                    group.addTask {
                        var tokens = tokens
                        for round in 0..<40 {
                            tokens = try await it.nodes[(number + round) % 2].refresh(tokens.refresh)
                            try #require(tokens.status == 200, "\(tokens.json)")
                        }
                        return tokens
                    }
                }
                for number in 0..<4 {
                    let signer = try #require(try await scene.keys(.active).first)
                    #expect(try await scene.compromise(signer, on: it.nodes[number % 2]).status == 202)
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let signer = try #require(try await scene.keys(.active).first)
            for tokens in last {
                let recovered = try await it.node.refresh(tokens.refresh)
                #expect(try recovered.signer == signer)
                for node in it.nodes { #expect(try await becomesTrue { try await node.admits(recovered) }) }
            }
        }
    }
}
