import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("A sealed signing key") struct SealTests {
    /// Why `kid` does not open, with the installation's own master keys or with others.
    private func fault(
        _ it: TestInstallation, _ kid: String, with masterKeys: MasterKeys? = nil
    ) async throws -> SealFault? {
        let keys = try await it.node.installation.signingKeys.all().keys
        let key = try #require(keys.first { $0.kid.isSameText(as: kid) })
        do {
            _ = try key.open(with: masterKeys ?? it.node.installation.masterKeys, among: keys)
            return nil
        } catch SigningKeyError.doesNotOpen(let told, let fault) {
            #expect(told == kid)
            return fault
        }
    }

    @Test func `does not open with any one bit of it flipped, and is told to be damaged`() async throws {
        try await TestInstallation.run { it in
            let keys = try await it.node.installation.signingKeys.all().keys
            let key = try #require(keys.first)
            let sealed = try #require(key.sealed)
            let masterKeys = it.node.installation.masterKeys
            let sealing = try masterKeys.sealingKey(version: 1)
            for position in sealed.indices {
                for bit in 0..<8 {
                    var damaged = sealed
                    damaged[position] ^= 1 << UInt8(bit)
                    #expect(throws: CryptoError.notAuthentic, "bit \(bit) of byte \(position)") {
                        try AES256GCM.open(damaged, key: sealing, associatedData: key.sealPlace)
                    }
                }
            }
            for position in [0, 12, sealed.count / 2, sealed.count - 1] {
                try await it.database.query(
                    """
                    UPDATE signing_keys SET sealed = set_byte(\(Bytes(sealed)), \(Int32(position)),
                        get_byte(\(Bytes(sealed)), \(Int32(position))) # 1)
                    WHERE kid = \(key.kid)
                    """)
                #expect(try await fault(it, key.kid) == .damaged(version: 1), "byte \(position)")
            }
            // Without the installation's records the keys beside it tell as much.
            let bare = try MasterKeyFolder(it.settings.keysDirectory).load()
            #expect(try await fault(it, key.kid, with: bare) == .damaged(version: 1))
        }
    }

    @Test func `does not open in another key's row, and its own is named`() async throws {
        try await TestInstallation.run { it in
            let keys = try await it.node.installation.signingKeys.all().keys
            try await it.database.query(
                """
                UPDATE signing_keys SET sealed = (SELECT sealed FROM signing_keys WHERE kid = \(keys[1].kid))
                WHERE kid = \(keys[0].kid)
                """)
            let fault = try await fault(it, keys[0].kid)
            #expect(fault == .movedFrom(kid: keys[1].kid))
            #expect(fault?.description.contains(keys[1].kid) == true)
            #expect(try await self.fault(it, keys[1].kid) == nil)
        }
    }

    @Test func `does not open with another installation's master key, which is told`() async throws {
        try await TestInstallation.run { it in
            let kid = try #require(try await it.node.installation.signingKeys.all().keys.first?.kid)
            let foreign = try MasterKeys([1: SecretBytes([UInt8](repeating: 9, count: 32))])
            #expect(try await fault(it, kid, with: foreign) == .wrongMasterKey(1))
            let missing = try MasterKeys([2: SecretBytes([UInt8](repeating: 9, count: 32))])
            #expect(try await fault(it, kid, with: missing) == .noMasterKey(1))
        }
    }

    @Test func `does not open where its row names another version, and the right one is told`() async throws {
        try await TestInstallation.run { it in
            let kid = try #require(try await it.node.installation.signingKeys.all().keys.first?.kid)
            try await it.database.query("UPDATE signing_keys SET master_key_version = 2 WHERE kid = \(kid)")
            let own = it.node.installation.masterKeys
            let both = try own.adding([2: SecretBytes([UInt8](repeating: 9, count: 32))])
            #expect(try await fault(it, kid, with: both) == .otherVersion(1, named: 2))
            #expect(try await fault(it, kid) == .noMasterKey(2))
            try await it.database.query("UPDATE signing_keys SET master_key_version = 1 WHERE kid = \(kid)")
            #expect(try await fault(it, kid) == nil)
        }
    }
}
