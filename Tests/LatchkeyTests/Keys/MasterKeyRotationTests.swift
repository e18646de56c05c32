import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("A rotation of the master key") struct MasterKeyRotationTests {
    @Test func `comes into use at every node by itself, and nobody notices`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = MasterKeyScene(it: it)
            let (other, alice) = (it.nodes[1], try await it.node.newUser("alice"))
            let bob = try await it.node.newUser("bob")
            #expect(MasterKeyScene.version(of: alice.refresh) == 1)

            #expect(try await scene.rotateEverywhere() == 2)
            let next = try await other.refresh(alice.refresh)
            #expect(next.status == 200)
            #expect(MasterKeyScene.version(of: next.refresh) == 2)
            #expect(try await it.node.refresh(next.refresh).status == 200)
            #expect(MasterKeyScene.version(of: try await it.node.logIn("alice").refresh) == 2)
            // What stands sealed follows, row by row, and everything still opens.
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            #expect(try await scene.sealed(under: 2) == 3)
            for node in it.nodes {
                #expect(try await node.get("/readyz").status == 200)
                #expect(try await node.refresh(bob.refresh).status == 200)
                #expect(try await node.get("/account", bearer: alice["access_token"]).status == 200)
            }
            #expect(try await it.audited("master-key.made", "master-key:2") == 1)
            #expect(try await it.audited("master-key.in-use", "master-key:2") == 1)
        }
    }

    @Test func `waits for a node that lacks the new version, however long, and goes on when it has come`() async throws
    {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { slow, folder in
                let alice = try await it.node.newUser("alice")
                #expect(try await scene.rotate() == 2)
                #expect(await becomesTrue { it.node.installation.masterKeys.versions == [1, 2] })
                let ring = it.node.installation.masterKeyRing
                // What a node holds it reports at its next tick.
                #expect(try await becomesTrue { try await ring.nodesLacking(2) == [slow.installation.node] })
                #expect(try await ring.promote(origin: MasterKeyScene.origin) == nil)
                let next = try await it.node.refresh(alice.refresh)
                #expect(MasterKeyScene.version(of: next.refresh) == 1)
                #expect(try await slow.refresh(next.refresh).status == 200)
                #expect(try await scene.sealed(under: 2) == 0)
                // Another one cannot be made meanwhile.
                await #expect(throws: MasterKeyConflict.self) { try await scene.rotate() }
                #expect(try scene.folder.versions() == [1, 2])

                try scene.bring(2, to: folder)
                #expect(
                    await becomesTrue {
                        it.node.installation.masterKeys.current == 2 && slow.installation.masterKeys.current == 2
                    })
            }
        }
    }

    @Test func `waits for nodes that an outage of the database kept from ticking`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let other = UniqueID.version7(millisecondsSince1970: 1, random: [UInt8](repeating: 7, count: 10))
            // Silent for as long as the outage was: it lives, and its next tick is on its way.
            try await it.database.query(
                """
                INSERT INTO node_ticks (node, version, master_keys, ticked_at)
                VALUES (\(other), 'x', '{1}', clock_timestamp() - interval '10 minutes')
                """)
            #expect(try await scene.rotate() == 2)
            let ring = it.node.installation.masterKeyRing
            #expect(await becomesTrue { it.node.installation.masterKeys.versions == [1, 2] })
            #expect(
                try await becomesTrue { try await ring.nodesLacking(2, .known) == [other] }, "its own row tells of both"
            )
            #expect(try await ring.nodesLacking(2) == [])
            #expect(try await ring.promote(origin: MasterKeyScene.origin) == nil)
            // A command has watched nobody either.
            #expect(
                try await scene.command { try await $0.masterKeyRing.promote(origin: MasterKeyScene.origin) } == nil)
            #expect(it.node.installation.masterKeys.current == 1)
            try await it.database.query(
                "UPDATE node_ticks SET ticked_at = clock_timestamp(), master_keys = '{1,2}' WHERE node = \(other)")
            #expect(await becomesTrue { it.node.installation.masterKeys.current == 2 })
        }
    }

    /// Had it been silent for more than a minute, the others would have gone on without it.
    @Test(.eachAnswerCounts)
    func `leaves a node behind that was away: it answers 503, never "invalid", until it has the key`()
        async throws
    {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { late, folder in
                let alice = try await it.node.newUser("alice")
                let bob = try await it.node.newUser("bob")
                try await scene.rotate()
                #expect(await becomesTrue { it.node.installation.masterKeys.versions == [1, 2] })
                try await it.database.query("UPDATE master_keys SET minting_from = clock_timestamp() WHERE version = 2")
                try await it.database.query("UPDATE key_ring SET version = version + 1")
                #expect(await becomesTrue { it.node.installation.masterKeys.current == 2 })
                let new = try await it.node.refresh(alice.refresh).refresh
                #expect(MasterKeyScene.version(of: new) == 2)

                #expect(try await becomesTrue { try await late.get("/readyz").status == 503 })
                for answer in [
                    try await late.refresh(new), try await late.refresh(bob.refresh), try await late.logIn("alice"),
                    try await late.revoke(new),
                ] {
                    #expect(answer.status == 503)
                    #expect(answer.header("retry-after") != nil)
                }
                try scene.bring(2, to: folder)
                #expect(try await becomesTrue { try await late.get("/readyz").status == 200 })
                #expect(try await late.refresh(new).status == 200)
                #expect(try await late.refresh(bob.refresh).status == 200)
            }
        }
    }

    @Test func `takes no file that is damaged, open to others or another key, and takes it once it is mended`()
        async throws
    {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { slow, folder in
                try await scene.rotate()
                try folder.write(KeyFolder.key, to: "master-key-2")
                let ring = slow.installation.masterKeyRing
                try await ring.lookAgain()
                #expect(slow.installation.masterKeys.versions == [1])
                try folder.write("half of a k", to: "master-key-2")
                try await ring.lookAgain()
                #expect(slow.installation.masterKeys.versions == [1])
                try FileManager.default.removeItem(atPath: "\(folder.path)/master-key-2")
                try scene.bring(2, to: folder)
                try folder.chmod(0o644, "master-key-2")
                try await ring.lookAgain()
                #expect(slow.installation.masterKeys.versions == [1])
                #expect(try await slow.get("/readyz").status == 200)
                try folder.chmod(0o600, "master-key-2")
                #expect(await becomesTrue { slow.installation.masterKeys.versions == [1, 2] })
            }
        }
    }

    @Test func `keeps what it holds when a file goes while it is needed`() async throws {
        try await TestInstallation.run { it in
            let alice = try await it.node.newUser("alice")
            try FileManager.default.removeItem(atPath: MasterKeyScene(it: it).folder.file(1))
            try await it.node.installation.masterKeyRing.lookAgain()
            #expect(it.node.installation.masterKeys.versions == [1])
            #expect(try await it.node.refresh(alice.refresh).status == 200)
        }
    }

    @Test func `of two operators at once makes one version, and tells the other`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { _, folder in
                let results = await withTaskGroup(of: Bool.self) { group in
                    for place in [it.settings.keysDirectory, folder.path] {
                        group.addTask {
                            do { return try await scene.rotate(in: place) == 2 } catch { return false }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(results.filter { $0 }.count == 1)
                let versions = [try scene.folder.versions(), try folder.folder.versions()]
                #expect(versions.contains([1, 2]) && versions.contains([1]), "\(versions)")
            }
        }
    }

    @Test func `leaves nothing waiting where its file cannot be written`() async throws {
        try await TestInstallation.run { it async throws in
            let scene = MasterKeyScene(it: it)
            let nowhere = "/proc/none"
            await #expect(throws: MasterKeyFolderError.self) {
                try await scene.command { installation in
                    try await installation.masterKeyRing.makeNext(
                        .use, in: MasterKeyFolder(nowhere), origin: MasterKeyScene.origin)
                }
            }
            #expect(try await scene.rotate() > 1)
        }
    }
}

@Suite("Sealing again") struct ResealingTests {
    /// An installation without a node that runs: nothing happens but what the test does.
    private func still(_ body: @Sendable (TestInstallation, MasterKeyScene) async throws -> Void) async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let scene = MasterKeyScene(it: it)
            try await start(it)
            try await scene.rotate()
            try await scene.forgetTicks()
            try await scene.command { installation async throws in
                #expect(try await installation.masterKeyRing.promote(origin: MasterKeyScene.origin) == 2)
            }
            try await body(it, scene)
        }
    }

    /// A node starts and ends: it finds its keys in order.
    private func start(_ it: TestInstallation) async throws {
        let installation = Installation(
            it.settings, masterKeys: try it.settings.masterKeySource.load(), logger: MasterKeyScene.quiet)
        defer { installation.close() }
        try await Node(installation).prepare()
        #expect(await installation.ring.canSign())
        for key in try await installation.signingKeys.all().keys {
            #expect(throws: Never.self) { try key.open(with: installation.masterKeys) }
        }
    }

    @Test func `may end after any row: every node opens every key, and the next process goes on`() async throws {
        try await still { it, scene in
            for done in 0...3 {
                try await start(it)
                let rows = try await scene.command { try await $0.signingKeys.all().keys }
                #expect(rows.filter { $0.masterKeyVersion == 2 }.count == done)
                // A process that ends after one row.
                let step = try await scene.command { installation in
                    try await installation.resealing.one(
                        of: try await installation.signingKeys.all().keys, origin: MasterKeyScene.origin)
                }
                switch step {
                case .resealed(_, let from, let to): #expect((from, to) == (1, 2) && done < 3)
                case .done(let unopened): #expect(unopened.isEmpty && done == 3)
                case .changedMeanwhile: Issue.record("nobody else is there")
                }
            }
            let row = try await it.database.query(
                "SELECT count(*) AS count FROM signing_keys WHERE first_sealed_under = 1"
            ).one()
            #expect(try row.decode("count", as: Int64.self) == 3)
        }
    }

    @Test func `is done once by two at the same time`() async throws {
        try await still { it, scene in
            let outcomes = try await scene.command { one in
                try await scene.command { other in
                    let keys = try await one.signingKeys.all().keys
                    async let first = one.resealing.one(of: keys, origin: MasterKeyScene.origin)
                    async let second = other.resealing.one(of: keys, origin: MasterKeyScene.origin)
                    return [try await first, try await second]
                }
            }
            var counts = (resealed: 0, late: 0)
            for outcome in outcomes {
                switch outcome {
                case .resealed: counts.resealed += 1
                case .changedMeanwhile: counts.late += 1
                case .done: break
                }
            }
            #expect(counts == (1, 1))
            try await start(it)
        }
    }

    @Test func `passes over a row that does not open, and names it`() async throws {
        try await still { it, scene in
            let kid: String = try await it.database.query(
                """
                UPDATE signing_keys SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)
                WHERE kid = (SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY kid LIMIT 1)
                RETURNING kid
                """
            ).one().decode("kid")
            let unopened = try await scene.command { installation in
                for _ in 0..<4 {
                    let keys = try await installation.signingKeys.all().keys
                    if case .done(let unopened) = try await installation.resealing.one(
                        of: keys, origin: MasterKeyScene.origin)
                    {
                        return unopened
                    }
                }
                return [:]
            }
            #expect(unopened == [kid: .damaged(version: 1)])
            #expect(try await scene.command { try await $0.signingKeys.count(sealedUnder: 1) } == 1)
        }
    }
}
