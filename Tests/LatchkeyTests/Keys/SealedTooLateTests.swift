import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite struct `A signing key sealed under a master key that has gone` {
    /// The first version is in the second one's place, and seals nothing.
    private func run(_ body: @Sendable (TestInstallation, MasterKeyScene) async throws -> Void) async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await body(it, scene)
        }
    }

    private struct Undone: Error {}

    @Test(arguments: ["retired_at", "compromised_at"]) func `is not taken`(mark: String) async throws {
        try await run { it, scene in
            let old = try MasterKeys([1: try scene.folder.read(1)])
            func insert(_ marks: [Query]) async throws {
                let key = try await onOwnThread(within: .seconds(60)) { try NewSigningKey(.es256, under: old) }
                try await it.database.transaction { transaction in
                    try await transaction.batch([SigningKeySQL.lockRing] + marks)
                    try await SigningKeys.insert([key], founding: false, in: transaction)
                    throw Undone()
                }
            }
            // One that is only superseded is sealed again by any node.
            await #expect(throws: Undone.self) { try await insert([]) }
            let gone: Query =
                mark == "retired_at"
                ? "UPDATE master_keys SET retired_at = clock_timestamp() WHERE version = 1"
                : "UPDATE master_keys SET compromised_at = clock_timestamp() WHERE version = 1"
            do {
                try await insert([gone])
                Issue.record("it was taken")
            } catch SigningKeyError.sealedTooLate(let version) {
                #expect(version == 1)
            }
        }
    }

    @Test func `keeps the worker from nothing but that: it is made again under the newest`() async throws {
        try await run { it, scene in
            // A node that has not heard yet.
            let slow = Installation(
                it.settings, masterKeys: try MasterKeys([1: try scene.folder.read(1)]), logger: MasterKeyScene.quiet)
            defer { slow.close() }
            try await scene.age(by: 120)
            try await scene.retire(1)
            // The other node's worker may be first to put one in its place.
            let isRefused = try await becomesTrue {
                try await it.database.query(
                    """
                    DELETE FROM signing_keys
                    WHERE kid = (SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY kid LIMIT 1)
                    """)
                do {
                    try await slow.signingKeys.carryOutDue(origin: MasterKeyScene.origin)
                    return false
                } catch is SigningKeyError {
                    return true
                }
            }
            #expect(isRefused)
            #expect(try await scene.sealed(under: 1) == 0)
            try await it.node.installation.signingKeys.carryOutDue(origin: MasterKeyScene.origin)
            #expect(try await it.node.installation.signingKeys.all().keys.count == 3)
            #expect(try await scene.sealed(under: 1) == 0)
        }
    }

    /// `keys rotate --wait-for-verifiers` may wait for hours.
    @Test func `is not made by a command that began while it was in use`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await scene.withNode { lacking, folder in
                try await scene.rotate()
                try await scene.command { command in
                    #expect(command.masterKeys.versions == [1, 2])
                    #expect(command.masterKeys.current == 1)
                    try scene.bring(2, to: folder)
                    #expect(await becomesTrue { lacking.installation.masterKeys.current == 2 })
                    #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
                    try await scene.age(by: 120)
                    try await scene.retire(1)
                    let signer = try await KeyAdministration(command.signingKeys, use: command.keyUse).signer()
                    let rotation = try await command.signingKeys.rotate(
                        from: signer, reason: nil, origin: MasterKeyScene.origin)
                    guard case .rotate = rotation else {
                        Issue.record("\(rotation)")
                        return
                    }
                    #expect(try await scene.sealed(under: 1) == 0)
                    #expect(try await scene.sealed(under: 2) == 4)
                }
            }
        }
    }

    @Test func `stops a start only where it signs`() async throws {
        try await run { it, scene in
            try await scene.age(by: 120)
            try await scene.retire(1)
            let second = try MasterKeys([2: try scene.folder.read(2)])
            func start() async throws {
                let installation = Installation(it.settings, masterKeys: second, logger: MasterKeyScene.quiet)
                defer { installation.close() }
                try await Node(installation).prepare()
            }
            try await it.database.query("UPDATE signing_keys SET master_key_version = 1 WHERE activates_at IS NULL")
            try await start()
            try await it.database.query("UPDATE signing_keys SET master_key_version = 1")
            do {
                try await start()
                Issue.record("it started")
            } catch Node.StartError.masterKeys(let refusal) {
                let signer = try await it.database.query("SELECT kid FROM signing_keys WHERE activates_at IS NOT NULL")
                    .one()
                #expect(refusal == .lost(kid: try signer.decode("kid"), version: 1))
            }
        }
    }
}
