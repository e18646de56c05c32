import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite struct `Sealing again` {
    /// Without a node, which would do it by itself: a process that holds two versions, of which the second one mints.
    private func run(
        _ body: @Sendable (TestInstallation, Installation, _ keys: [SigningKey]) async throws -> Void
    ) async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let installation = Installation(
                it.settings, masterKeys: try it.settings.masterKeySource.load(), logger: MasterKeyScene.quiet)
            defer { installation.close() }
            try await Node(installation).prepare()
            _ = try await installation.masterKeyRing.makeNext(
                .use, in: MasterKeyFolder(it.settings.keysDirectory), origin: MasterKeyScene.origin)
            try await it.database.query("UPDATE master_keys SET minting_from = clock_timestamp() WHERE version = 2")
            _ = try await installation.masterKeyRing.readAgain()
            try #require(installation.masterKeys.current == 2)
            let keys = try await installation.signingKeys.all().keys
            try #require(keys.count == 3 && keys.allSatisfy { $0.masterKeyVersion == 1 })
            try await body(it, installation, keys)
        }
    }

    @Test(arguments: ["retired", "leaked"])
    func `is not done under a version that has gone meanwhile`(how: String) async throws {
        try await run { it, installation, keys in
            let gone: Query =
                how == "retired"
                ? "UPDATE master_keys SET retired_at = clock_timestamp() WHERE version = 2"
                : "UPDATE master_keys SET compromised_at = clock_timestamp() WHERE version = 2"
            try await it.database.query(gone)
            // By a process that has not read of it yet.
            let step = try await installation.resealing.one(of: keys, origin: MasterKeyScene.origin)
            guard case .changedMeanwhile = step else {
                Issue.record("\(step)")
                return
            }
            #expect(try await installation.signingKeys.count(sealedUnder: 1) == 3)
            try await it.database.query(
                "UPDATE master_keys SET retired_at = NULL, compromised_at = NULL WHERE version = 2")
            let again = try await installation.resealing.one(of: keys, origin: MasterKeyScene.origin)
            guard case .resealed(_, from: 1, to: 2) = again else {
                Issue.record("\(again)")
                return
            }
        }
    }

    @Test func `is not done under an earlier version`() async throws {
        try await run { it, installation, keys in
            var sealed = keys
            for _ in keys {
                _ = try await installation.resealing.one(of: sealed, origin: MasterKeyScene.origin)
                sealed = try await installation.signingKeys.all().keys
            }
            #expect(sealed.allSatisfy { $0.masterKeyVersion == 2 })
            // A process that goes by what was before.
            try await it.database.query("UPDATE master_keys SET minting_from = NULL WHERE version = 2")
            _ = try await installation.masterKeyRing.readAgain()
            try #require(installation.masterKeys.current == 1)
            #expect(!installation.resealing.isNeeded(sealed))
            let step = try await installation.resealing.one(of: sealed, origin: MasterKeyScene.origin)
            guard case .done(let unopened) = step else {
                Issue.record("\(step)")
                return
            }
            #expect(unopened.isEmpty)
            let key = try #require(sealed.first)
            let statement = MasterKeySQL.reseal(key, key.sealed ?? [], under: 1)
            #expect(try await it.database.query(statement).affected == 0)
        }
    }

    @Test func `hides no version that a key was sealed under, in whichever order`() async throws {
        try await run { it, installation, keys in
            try await it.database.query("UPDATE signing_keys SET first_sealed_under = 2, master_key_version = 1")
            try await installation.masterKeyRing.compromise(
                below: 3, reason: "a test", origin: MasterKeyScene.origin)
            #expect(try await installation.masterKeyRing.leakedSigningKeys().count == keys.count)
        }
    }
}
