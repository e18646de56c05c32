import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

/// Who signs in its place.
extension CompromiseTests {
    @Test func `Signer and standby at once leave a third to sign`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            let signer = try #require(try await scene.keys(.active).first)
            let standbys = try await scene.keys(.published)
            let administrator = try await scene.administrator()
            async let one = it.nodes[0].post(
                "/admin/keys/\(signer)/compromise", ["reason": "a", "confirm": true], bearer: administrator)
            async let other = it.nodes[1].post(
                "/admin/keys/\(standbys[0])/compromise", ["reason": "b", "confirm": true], bearer: administrator)
            for answer in [try await one, try await other] where answer.status == 401 {
                // Its token died by the other one: refreshed, it is repeated.
                for kid in [signer, standbys[0]] { #expect(try await scene.compromise(kid).status == 202) }
            }
            let tokens = try await it.node.newUser("alice")
            #expect(try tokens.signer == standbys[1])
            for node in it.nodes { #expect(try await becomesTrue { try await node.admits(tokens) }) }
            #expect(try await Set(scene.keys(.compromised)) == [signer, standbys[0]])
            #expect(try await scene.keys(.published).count == 2)
        }
    }

    @Test func `A standby leaves the JWKS, and who signs goes on signing`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let standby = try #require(try await scene.keys(.published).first)
            let answer = try await scene.compromise(standby)
            #expect(answer.status == 202)
            #expect(answer.json["signs_next"] == nil)
            #expect(try await it.node.admits(tokens))
            let published = try await CompromiseScene.published(it.node)
            #expect(published.contains(standby) == false)
            #expect(try await becomesTrue { try await CompromiseScene.published(it.node).count == 3 })
            #expect(try await it.node.logIn("alice").signer == tokens.signer)
        }
    }

    @Test func `In the hour after a rotation the second standby signs at once, ripe, and the old key's tokens live`()
        async throws
    {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            let old = try await it.node.newUser("alice")
            let standbys = try await scene.keys(.published)
            let new = try await scene.rotate()
            #expect(try await becomesTrue { try await it.node.logIn("alice").signer == new })
            let leaked = try await it.node.logIn("alice")

            let answer = try await scene.compromise(new, on: it.nodes[1])
            #expect(answer.status == 202)
            let next = try #require(answer.json["signs_next"]?.object)
            #expect(next["ripe"] == true)
            #expect(standbys.contains(next["kid"]?.string ?? ""))
            let recovered = try await it.node.refresh(leaked.refresh)
            #expect(try recovered.signer == next["kid"]?.string)
            for node in it.nodes {
                #expect(try await becomesTrue { try await node.admits(leaked) == false })
                #expect(try await node.admits(old))
                #expect(try await node.admits(recovered))
            }

            // The one before leaks too: it signs no more, and its tokens die.
            #expect(try await scene.compromise(try old.signer).json["signs_next"] == nil)
            for node in it.nodes {
                #expect(try await becomesTrue { try await node.admits(old) == false })
                #expect(try await node.admits(recovered))
            }
        }
    }

    @Test func `Amid a rotation its successor begins at once, and no standby is spent`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let next = try await scene.rotate()
            try await scene.stretchRotation()
            let standbys = try await Set(scene.keys(.published)).subtracting([next])
            let answer = try await scene.compromise(try tokens.signer)
            #expect(answer.json["signs_next"]?.object?["kid"]?.string == next)
            #expect(answer.json["signs_next"]?.object?["activates_at"] == answer.json["compromised_at"])
            #expect(try await it.node.admits(tokens) == false)
            #expect(try await it.node.logIn("alice").signer == next)
            #expect(try await Set(scene.keys(.published)) == standbys)
        }
    }

    @Test func `Amid a rotation the key about to sign never does, and the old one signs to its end`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let leaked = try await scene.rotate()
            try await scene.stretchRotation()
            let answer = try await scene.compromise(leaked)
            let next = try #require(answer.json["signs_next"]?.object)
            #expect(next["ripe"] == true)
            #expect((next["activates_at"]?.string ?? "") > answer["compromised_at"])
            #expect(try await it.node.admits(tokens))
            let isSigning = try await becomesTrue {
                let signer = try await it.node.logIn("alice").signer
                #expect(signer != leaked)
                return signer == next["kid"]?.string
            }
            #expect(isSigning)
            #expect(try await it.node.admits(tokens))
        }
    }

    @Test func `Without a ripe standby an unripe one signs, and it is said for how long it may be refused`()
        async throws
    {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await CompromiseScene(it)
            for _ in 0..<2 {
                let signer = try #require(try await scene.keys(.active).first)
                #expect(try await scene.compromise(signer).json["signs_next"]?.object?["ripe"] == true)
            }
            let tokens = try await it.node.newUser("alice")
            let foreseen = try await scene.foresee(try tokens.signer)
            let effects = foreseen.json["effects"]?.strings ?? []
            #expect(effects.first?.contains("without being ripe") == true)
            let answer = try await scene.compromise(try tokens.signer)
            #expect(answer.status == 202)
            let next = try #require(answer.json["signs_next"]?.object)
            #expect(next["ripe"] == false)
            #expect(foreseen.json["signs_next"]?.object?["kid"] == next["kid"])
            let recovered = try await it.node.refresh(tokens.refresh)
            #expect(try recovered.signer == next["kid"]?.string)
            for node in it.nodes {
                #expect(try await becomesTrue { try await node.admits(recovered) })
                #expect(try await becomesTrue { try await node.admits(tokens) == false })
            }
        }
    }
}
