import Foundation
import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite("The day a master key leaks") struct MasterKeyLeakTests {
    private static func leak(_ it: Installation) -> MasterKeyLeak {
        MasterKeyLeak(
            it.masterKeyRing, resealing: it.resealing, keys: it.signingKeys, compromises: it.compromises,
            sessions: it.sessions)
    }

    /// Each step by a process of its own, which ends after it: what is killed anywhere between two of them goes on so.
    private func carryOut(_ scene: MasterKeyScene) async throws -> [MasterKeyLeak.Step] {
        var steps: [MasterKeyLeak.Step] = []
        var version: Int16?
        let end = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < end {
            let step = try await scene.command { installation -> MasterKeyLeak.Step? in
                let leak = Self.leak(installation)
                let unfinished = try await leak.unfinished(in: scene.folder, origin: MasterKeyScene.origin)
                if let version {
                    if let unfinished { #expect(unfinished == version) }
                    return try await leak.next(version, reason: "found", origin: MasterKeyScene.origin)
                }
                #expect(unfinished == nil)
                version = try await leak.begin(in: scene.folder, origin: MasterKeyScene.origin)
                return nil
            }
            switch step {
            case nil: continue
            case .waits: try await Task.sleep(for: .milliseconds(50))
            case .done:
                #expect(try await unfinished(scene) == nil)
                return steps
            case .some(let step): steps.append(step)
            }
        }
        Issue.record("it came to no end: \(steps)")
        return steps
    }

    private func unfinished(_ scene: MasterKeyScene) async throws -> Int16? {
        try await scene.command {
            try await Self.leak($0).unfinished(in: scene.folder, origin: MasterKeyScene.origin)
        }
    }

    private func published(_ node: TestNode) async throws -> Set<String> {
        let keys = try await node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
        return Set(keys.compactMap { $0.object?["kid"]?.string })
    }

    @Test
    func `ends with other signing keys, no session and no token of before, on every node, and goes on step by step`()
        async throws
    {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = MasterKeyScene(it: it)
            let administrator = try await it.node.administrator()
            let client = try RegisteredClient(
                try await it.node.post(
                    "/admin/clients",
                    ["client_name": "reports", "grant_types": ["client_credentials"], "scope": "users:read"],
                    bearer: administrator))
            let alice = try await it.node.newUser("alice")
            let before = try await published(it.node)
            #expect(before.count == 3)

            let plan = try await scene.command { try await Self.leak($0).foresee() }
            #expect(plan.object?["signing_keys"]?.int == 3)
            #expect(plan.object?["sessions"]?.int == 2)
            #expect(try await published(it.node) == before, "looking changes nothing")

            let steps = try await carryOut(scene)
            let replaced = steps.compactMap { if case .replaced(let kid) = $0 { kid } else { nil } }
            #expect(Set(replaced) == before)
            #expect(replaced.count == 3)
            // The one that signs goes last: the others are gone by then.
            #expect(try replaced.last == alice.signer)
            #expect(steps.contains(.compromised(below: 2)))
            #expect(steps.contains(.sessionsEnded(2)))

            for node in it.nodes {
                #expect(try await becomesTrue { try await published(node).isDisjoint(with: before) })
                #expect(
                    try await becomesTrue {
                        try await node.get("/account", bearer: alice["access_token"]).status == 401
                    })
                let answer = try await node.refresh(alice.refresh)
                #expect(answer.status == 400)
                #expect(answer["error"] == "invalid_grant")
                let again = try await node.logIn("alice")
                #expect(again.status == 200)
                #expect(before.contains(try again.signer) == false)
                #expect(MasterKeyScene.version(of: again.refresh) == 2)
                #expect(try await node.refresh(again.refresh).status == 200)
                #expect(
                    try await client.post(node, "/oauth2/token", [("grant_type", "client_credentials")]).status == 200)
            }
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            #expect(try await it.audited("master-key.compromised", "master-key:2") == 1)
            try await scene.age(by: 120)
            #expect(try await scene.refusal(of: 1) == nil, "nothing is left of it")
        }
    }

    /// Verifiers keep what they fetched before it left.
    @Test func `replaces a key that has left the JWKS as long as it is not wiped`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let old = try await it.node.newUser("alice").signer
            let rotated = try await it.node.post(
                "/admin/keys/rotate", ["reason": "x"], bearer: try await it.node.administrator())
            #expect(rotated.status == 202)
            #expect(try await becomesTrue { try await it.node.logIn("alice").signer == rotated["kid"] })
            try await it.database.batch([
                "UPDATE signing_keys SET removed_at = clock_timestamp() WHERE kid = \(old)",
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await becomesTrue { try await published(it.node).contains(old) == false })
            let plan = try await scene.command { try await Self.leak($0).foresee() }
            #expect(plan.object?["signing_keys"]?.int == 4)
            #expect(try await carryOut(scene).contains(.replaced(kid: old)))
            let entries: Int64 = try await it.database.query(
                "SELECT count(*) AS count FROM revoked_keys WHERE kid = \(old) AND kind = 3"
            ).one().decode("count")
            #expect(entries == 1)
        }
    }

    @Test func `says that a token's keys stay`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await it.database.query(
                """
                UPDATE signing_keys SET sealed = NULL, held_by = 'token'
                WHERE kid = (SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY kid LIMIT 1)
                """)
            let plan = try await scene.command { try await Self.leak($0).foresee() }
            #expect(plan.object?["signing_keys"]?.int == 2)
            #expect(plan.object?["effects"]?.strings?.contains { $0.hasPrefix("1 signing keys stay") } == true)
        }
    }

    @Test func `changes nothing while a node lacks the new key`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { slow, folder in
                let alice = try await slow.newUser("alice")
                let before = try await published(it.node)
                let version = try await scene.command {
                    try await Self.leak($0).begin(in: scene.folder, origin: MasterKeyScene.origin)
                }
                #expect(
                    try await becomesTrue {
                        try await it.node.installation.masterKeyRing.nodesLacking(version) == [slow.installation.node]
                    })
                for _ in 0..<3 {
                    let step = try await scene.command {
                        try await Self.leak($0).next(version, reason: "found", origin: MasterKeyScene.origin)
                    }
                    #expect(step == .waits(for: [slow.installation.node]))
                }
                #expect(try await unfinished(scene) == version)
                #expect(try await published(slow) == before)
                #expect(try await slow.refresh(alice.refresh).status == 200)
            }
        }
    }

    /// Killed between its record and its file, or told nothing of its COMMIT.
    @Test func `whose new key nobody holds begins anew`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await it.database.query(MasterKeySQL.notice(2, checkValue: [UInt8](repeating: 7, count: 16), .leak))
            let steps = try await carryOut(scene)
            #expect(steps.contains(.compromised(below: 3)))
            #expect(try scene.folder.versions() == [1, 3])
            let records = try await it.node.installation.masterKeyRing.readAgain()
            #expect(records.first { $0.version == 2 }?.retiredAt != nil)
            #expect(try await it.audited("master-key.retired", "master-key:2") == 1)
            #expect(try await it.node.newUser("alice").status == 200)
        }
    }

    @Test func `whose new key others hold goes on where that is brought to, and does not make another one`()
        async throws
    {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { _, other in
                func refusal() async throws -> String? {
                    do {
                        let version = try await scene.command(in: other.path) {
                            try await Self.leak($0).unfinished(in: other.folder, origin: MasterKeyScene.origin)
                        }
                        #expect(version == 2)
                        return nil
                    } catch let conflict as MasterKeyConflict {
                        return conflict.description
                    }
                }
                let version = try await scene.command {
                    try await Self.leak($0).begin(in: scene.folder, origin: MasterKeyScene.origin)
                }
                #expect(version == 2)
                #expect(try await becomesTrue { try await it.node.installation.masterKeyRing.nodesHolding(2) == 1 })
                let text = try #require(try await refusal())
                #expect(text.contains("bring its file to \(other.path)"), "\(text)")
                #expect(text.contains("master-key retire 2"), "\(text)")
                #expect(try await unfinished(scene) == 2, "where it is held")
                try scene.bring(2, to: other)
                #expect(try await refusal() == nil)
            }
        }
    }

    @Test func `that comes again is another one`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await carryOut(scene)
            let kids = try await published(it.node)
            #expect(try await carryOut(scene).contains(.compromised(below: 3)))
            #expect(try await becomesTrue { try await published(it.node).isDisjoint(with: kids) })
            #expect(try await it.node.newUser("alice").status == 200)
        }
    }

    @Test func `replaces a key that was sealed under the leaked version once, whatever it is sealed under now`()
        async throws
    {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let before = try await published(it.node)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            let steps = try await carryOut(scene)
            #expect(before.allSatisfy { steps.contains(.replaced(kid: $0)) })
            #expect(try await becomesTrue { try await published(it.node).isDisjoint(with: before) })
        }
    }
}
