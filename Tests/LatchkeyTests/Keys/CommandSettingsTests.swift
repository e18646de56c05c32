import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

/// A command runs in a shell whose environment may be another than the nodes'.
@Suite struct `A command's decisions on keys` {
    private static let origin = Origin(actor: "test")

    /// An installation whose nodes have started and ended: nothing happens but what the test does.
    private func still(
        settings change: @escaping @Sendable (inout Settings) -> Void = { _ in },
        _ body: @Sendable (TestInstallation) async throws -> Void
    ) async throws {
        try await TestInstallation.run(nodes: 0, settings: change) { it in
            try await node(it) { try await Node($0).prepare() }
            try await body(it)
            // What is missing is made by a node in the end.
            try await node(it) { node async throws in
                #expect(
                    try await becomesTrue {
                        try await node.signingKeys.carryOutDue(origin: Self.origin)
                        return try await node.signingKeys.all().keys.count { $0.isStandby && $0.publishedAt != nil }
                            >= 2
                    })
            }
        }
    }

    private func node<R>(
        _ it: TestInstallation, with settings: Settings? = nil, as role: ProcessRole = .node,
        _ body: (Installation) async throws -> R
    ) async throws -> R {
        let installation = Installation(
            settings ?? it.settings, as: role, masterKeys: try it.settings.masterKeySource.load(),
            logger: MasterKeyScene.quiet)
        defer { installation.close() }
        return try await body(installation)
    }

    private func command<R>(
        _ it: TestInstallation, with change: (inout Settings) -> Void, _ body: (Installation) async throws -> R
    ) async throws -> R {
        var settings = it.settings
        change(&settings)
        return try await node(it, with: settings, as: .command, body)
    }

    private func removeStandby(_ it: TestInstallation) async throws {
        try await it.database.query(
            """
            DELETE FROM signing_keys
            WHERE kid = (SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY kid LIMIT 1)
            """)
    }

    @Test func `are made by the lead, the interval and the algorithm of the nodes`() async throws {
        let nodes = KeyPolicy(publishLead: 45, maxAge: 10, leeway: 3, rotationInterval: 86_400)
        let shell = KeyPolicy(publishLead: 7200, maxAge: 600, leeway: 60, rotationInterval: 9000)
        try await still(settings: { ($0.keys, $0.signingAlgorithm) = (nodes, .es256) }) { it in
            try await command(it, with: { ($0.keys, $0.signingAlgorithm, $0.accessTokenTTL) = (shell, .rs256, 60) }) {
                let ring = try await $0.signingKeys.read()
                let policy = $0.signingKeys.policy(for: ring)
                #expect(policy.publishLead == 45)
                #expect(policy.maxAge == 10)
                #expect(policy.leeway == 3)
                #expect(policy.lifetime == it.settings.accessTokenTTL)
                #expect(policy.rotationInterval == 86_400)
                #expect($0.signingKeys.algorithm(for: ring) == .es256)
            }
        }
    }

    /// As behind a compromise, when what is due is carried out.
    @Test func `rotate nothing that is not due for the nodes`() async throws {
        try await still { it in
            try await it.database.query(
                """
                UPDATE signing_keys
                SET created_at = created_at - interval '1 day', published_at = published_at - interval '1 day',
                    activates_at = activates_at - interval '1 day'
                """)
            try await command(it, with: { $0.keys.rotationInterval = 900 }) { it async throws in
                #expect(try await it.signingKeys.carryOutDue(origin: Self.origin) == [])
            }
        }
    }

    @Test func `make no key in the database where the nodes make theirs in a token`() async throws {
        try await still { it in
            try await it.database.query("UPDATE installation SET keys_held_by = 'token'")
            try await removeStandby(it)
            try await command(it, with: { _ in }) { installation in
                let keys = installation.signingKeys
                let signer = try await KeyAdministration(keys, use: installation.keyUse).signer()
                for attempt in [
                    { _ = try await keys.carryOutDue(origin: Self.origin) },
                    { _ = try await keys.rotate(from: signer, reason: nil, origin: Self.origin) },
                ] as [() async throws -> Void] {
                    do {
                        try await attempt()
                        Issue.record("a key was made")
                    } catch let error as SigningKeyError {
                        #expect("\(error)".contains("LATCHKEY_PKCS11_MODULE"), "\(error)")
                    }
                }
                await #expect(throws: SigningKeyError.self) {
                    try await keys.importKey(PrivateKey.generate(.rs256), origin: Self.origin)
                }
                #expect(try await keys.all().keys.count == 2)
            }
        }
    }

    /// `latchkey restored`, in a shell that knows nothing of the token.
    @Test func `put no key in the place of a lost history's where the nodes make theirs in a token`() async throws {
        try await still { it in
            try await it.database.query("UPDATE installation SET keys_held_by = 'token'")
            func standing() async throws -> [String] {
                try await it.database.query(
                    """
                    SELECT concat_ws(' ', s.kid, s.compromised_at, s.activates_at, i.fence, h.epoch, k.version) AS row
                    FROM signing_keys s, installation i, feed_head h, key_ring k
                    ORDER BY s.kid
                    """
                ).rows.map { try $0.decode("row") }
            }
            let before = try await standing()
            #expect(before.count == 3)
            try await command(it, with: { _ in }) { installation in
                do {
                    _ = try await installation.lostHistory.begin(origin: Self.origin)
                    Issue.record("a key was made")
                } catch SigningKeyError.tokenUnset {
                }
            }
            #expect(try await standing() == before)
        }
    }

    @Test func `make keys in the database where the nodes do, whatever token the shell names`() async throws {
        try await still { it in
            try await removeStandby(it)
            try await command(
                it, with: { $0.token = TokenSettings(module: "/nowhere.so", label: "x", pin: "x") }
            ) { installation in
                #expect(try await installation.signingKeys.carryOutDue(origin: Self.origin) == [.publish(.rs256)])
                let held = try await installation.signingKeys.all().keys.map(\.holder)
                #expect(held == [.database, .database, .database])
            }
        }
    }

    @Test func `go by the shell before a node has told, and by the node that started last`() async throws {
        try await still { it in
            try await node(
                it,
                with: {
                    var it = it.settings; it.keys.rotationInterval = 5000; return it
                }()
            ) {
                try await Node($0).prepare()
            }
            func interval() async throws -> Int64 {
                try await command(it, with: { $0.keys.rotationInterval = 6000 }) {
                    $0.signingKeys.policy(for: try await $0.signingKeys.read()).rotationInterval
                }
            }
            #expect(try await interval() == 5000)
            try await it.database.query(
                "UPDATE installation SET rotation_interval = NULL, signing_algorithm = NULL, keys_held_by = NULL")
            #expect(try await interval() == 6000)
        }
    }
}
