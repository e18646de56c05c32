import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import Postgres
import Testing

@testable import Latchkey

@Suite("Starting a node")
struct StartTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Starts one more node on the installation and says why it did not.
    private func refusal(_ it: TestInstallation, masterKeys: MasterKeys? = nil) async throws -> Node.StartError? {
        let installation = Installation(
            it.settings, masterKeys: masterKeys ?? it.node.installation.masterKeys, logger: Self.logger)
        defer { installation.close() }
        do {
            try await Node(installation).prepare()
            return nil
        } catch let error as Node.StartError {
            return error
        }
    }

    @Test("is refused while the database lacks a migration, and names it")
    func behind() async throws {
        try await TestInstallation.run { it in
            #expect(try await refusal(it) == nil)
            try await it.database.query("DELETE FROM migrations WHERE name = '0006_create_audit_events'")
            let refusal = try await refusal(it)
            #expect(refusal == .migrations(.behind(missing: ["0006_create_audit_events"])))
            #expect(refusal?.description.contains("0006_create_audit_events") == true)
            #expect(refusal?.description.contains("latchkey migrate") == true)
        }
    }

    @Test("is refused on a database that a newer version has migrated")
    func ahead() async throws {
        try await TestInstallation.run { it in
            try await it.database.query("INSERT INTO migrations (name, checksum) VALUES ('9999_later', '\\x00')")
            let refusal = try await refusal(it)
            #expect(refusal == .migrations(.ahead(unknown: ["9999_later"])))
            #expect(refusal?.description.contains("9999_later") == true)
        }
    }

    @Test("is refused where a migration is not the one that was applied")
    func edited() async throws {
        try await TestInstallation.run { it in
            try await it.database.query("UPDATE migrations SET checksum = '\\x00' WHERE name = '0002_create_users'")
            #expect(try await refusal(it) == .migrations(.edited("0002_create_users")))
        }
    }

    @Test("is refused on a database without any, and makes nothing there")
    func empty() async throws {
        try await TestInstallation.run { it in
            try await TestCluster.withDatabase { connectionString in
                var settings = it.settings
                settings.databaseURL = connectionString
                let installation = Installation(
                    settings, masterKeys: it.node.installation.masterKeys, logger: Self.logger)
                defer { installation.close() }
                await #expect(throws: Node.StartError.migrations(.behind(missing: Migrations.all.map(\.name)))) {
                    try await Node(installation).prepare()
                }
                let tables: Int64 = try await installation.database.query(
                    "SELECT count(*) AS count FROM pg_tables WHERE schemaname = 'public'"
                ).one().decode("count")
                #expect(tables == 0)
            }
        }
    }

    static let damages: [(String, Query)] = [
        (
            "has been changed", "UPDATE signing_keys SET sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))"
        ),
        (
            "has been changed",
            "UPDATE signing_keys SET sealed = substring(sealed FOR octet_length(sealed) - 1)"
        ),
        ("does not open with the master keys", "UPDATE signing_keys SET sealed = NULL"),
        ("master key 7", "UPDATE signing_keys SET master_key_version = 7"),
        (
            "was sealed for signing key",
            """
            UPDATE signing_keys SET sealed = (
                SELECT other.sealed FROM signing_keys other WHERE other.kid <> signing_keys.kid LIMIT 1)
            """
        ),
    ]

    @Test("is refused where the signing key does not open, and says why")
    func unopenable() async throws {
        try await TestInstallation.run { it in
            try await it.database.query("CREATE TABLE good AS SELECT kid, sealed, master_key_version FROM signing_keys")
            for (reason, damage) in Self.damages {
                try await it.database.query(damage)
                let refusal = try await refusal(it)
                #expect(refusal?.description.contains(reason) == true, "\(refusal?.description ?? "started")")
                try await it.database.query(
                    """
                    UPDATE signing_keys SET sealed = good.sealed, master_key_version = good.master_key_version
                    FROM good WHERE good.kid = signing_keys.kid
                    """)
                #expect(try await self.refusal(it) == nil)
            }
        }
    }

    @Test("is refused with another installation's master keys of the same version")
    func foreignMasterKeys() async throws {
        try await TestInstallation.run { it in
            let foreign = try MasterKeys([1: SecretBytes([UInt8](repeating: 9, count: 32))])
            let refusal = try await refusal(it, masterKeys: foreign)
            #expect(refusal == .masterKeys(.another(1, in: it.settings.keysDirectory)))
            #expect(refusal?.description.contains("LATCHKEY_KEYS_DIR") == true)
        }
    }

    @Test("founds the keys once, however many start at once")
    func foundsOnce() async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let folder = MasterKeyFolder(it.settings.keysDirectory)
            let keys = try folder.load()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let installation = Installation(it.settings, masterKeys: keys, logger: Self.logger)
                        defer { installation.close() }
                        try await Node(installation).prepare()
                    }
                }
                try await group.waitForAll()
            }
            let row = try await it.database.query(
                """
                SELECT count(*) AS keys, count(*) FILTER (WHERE founding AND published_at IS NOT NULL) AS ripe,
                       count(activates_at) AS signers
                FROM signing_keys
                """
            ).one()
            #expect(try row.decode("keys", as: Int64.self) == 3)
            #expect(try row.decode("ripe", as: Int64.self) == 3)
            #expect(try row.decode("signers", as: Int64.self) == 1)
            #expect(try await it.audited("key.founded", "key:all") == 1)
        }
    }

    @Test("raises the list's horizon to its own tokens' lifetime, and never lowers it")
    func horizon() async throws {
        try await TestInstallation.run(settings: { $0.accessTokenTTL = 900 }) { it in
            func longest() async throws -> Int64 {
                try await it.database.query("SELECT longest_access_token FROM installation").one()
                    .decode("longest_access_token")
            }
            #expect(try await longest() == 900)
            for (lifetime, expected) in [(60, 900), (901, 901)] as [(Int64, Int64)] {
                var settings = it.settings
                settings.accessTokenTTL = lifetime
                let installation = Installation(
                    settings, masterKeys: it.node.installation.masterKeys, logger: Self.logger)
                try await Node(installation).prepare()
                installation.close()
                #expect(try await longest() == expected)
            }
        }
    }
}
