import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("A start with several master keys") struct MasterKeyStartTests {
    private func refusal(_ it: TestInstallation, _ keys: [Int16: SecretBytes]) async throws -> MasterKeyRefusal? {
        let installation = Installation(it.settings, masterKeys: try MasterKeys(keys), logger: MasterKeyScene.quiet)
        defer { installation.close() }
        do {
            try await Node(installation).prepare()
            return nil
        } catch Node.StartError.masterKeys(let refusal) {
            return refusal
        }
    }

    private static let foreign = SecretBytes([UInt8](repeating: 9, count: 32))

    @Test func `is refused without one that is in use, whether a signing key names it or not`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let place = it.settings.keysDirectory
            _ = try await scene.rotateEverywhere()
            let (first, second) = (try scene.folder.read(1), try scene.folder.read(2))
            #expect(try await refusal(it, [1: first]) == .missing(2, in: place))
            // Nothing names the first one any more but tokens and secrets.
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            #expect(try await refusal(it, [2: second]) == .missing(1, in: place))
            #expect(try await refusal(it, [1: first, 2: second]) == nil)
            // As where the first one was in use before that was written down.
            try await it.database.query("UPDATE master_keys SET minting_from = NULL WHERE version = 1")
            #expect(try await refusal(it, [2: second]) == .missing(1, in: place))
            #expect(MasterKeyRefusal.missing(2, in: place).description.contains("LATCHKEY_KEYS_DIR"))
        }
    }

    @Test func `is refused with another key under a version that the installation knows, in use or not`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let place = it.settings.keysDirectory
            let first = try scene.folder.read(1)
            try await scene.rotate()
            #expect(try await refusal(it, [1: first, 2: Self.foreign]) == .another(2, in: place))
            #expect(try await refusal(it, [1: Self.foreign]) == .another(1, in: place))
            #expect(try await refusal(it, [1: first]) == nil, "the second one is not in use")
        }
    }

    @Test func `finds another installation's key before the installation has written anything down`() async throws {
        try await TestInstallation.run { it in
            // As a database is that an older version served.
            try await it.database.query("DELETE FROM master_keys")
            #expect(try await refusal(it, [1: Self.foreign]) == .another(1, in: it.settings.keysDirectory))
            let count: Int64 = try await it.database.query("SELECT count(*) AS count FROM master_keys").one()
                .decode("count")
            #expect(count == 0, "a foreign key must not become the installation's")
            #expect(try await refusal(it, [1: try MasterKeyScene(it: it).folder.read(1)]) == nil)
        }
    }

    @Test func `is refused where the signer is sealed under one that was retired, and says what mends that`()
        async throws
    {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            let kid = try await it.node.newUser("alice").signer
            // As a backup of the rows beside newer records brings it back.
            try await it.database.batch([
                "UPDATE signing_keys SET master_key_version = 1 WHERE kid = \(kid)",
                "UPDATE master_keys SET retired_at = clock_timestamp() WHERE version = 1",
            ])
            let (first, second) = (try scene.folder.read(1), try scene.folder.read(2))
            for keys in [[2: second], [1: first, 2: second]] as [[Int16: SecretBytes]] {
                let refusal = try await refusal(it, keys)
                #expect(refusal == .lost(kid: kid, version: 1))
                #expect(
                    refusal?.description.contains("latchkey keys compromise --reason 'lost' --yes -- \(kid)") == true)
            }
            _ = try await scene.command {
                try await $0.compromises.compromise(kid, reason: "lost", origin: MasterKeyScene.origin)
            }
            #expect(try await refusal(it, [2: second]) == nil)
        }
    }

    @Test func `goes on where a key that does not sign is damaged`() async throws {
        try await TestInstallation.run { it in
            try await it.database.query(
                """
                UPDATE signing_keys SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)
                WHERE activates_at IS NULL
                """)
            #expect(try await refusal(it, [1: try MasterKeyScene(it: it).folder.read(1)]) == nil)
        }
    }

    @Test func `is refused to a command that holds another key, or lacks the newest`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            try await KeyFolder.run { own in
                _ = try own.folder.initialise()
                await #expect(throws: MasterKeyRefusal.another(1, in: own.path)) {
                    try await scene.command(in: own.path) { _ in }
                }
                try FileManager.default.removeItem(atPath: own.folder.file(1))
                try scene.bring(1, to: own)
                try await scene.command(in: own.path) { _ in }
                _ = try await scene.rotateEverywhere()
                await #expect(throws: MasterKeyRefusal.missing(2, in: own.path)) {
                    try await scene.command(in: own.path) { _ in }
                }
            }
        }
    }
}
