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
            try await makeKeys(it, in: .database)
        }
    }

    /// The private halves of so many standbys are in a token from now on.
    private func moveStandbys(_ it: TestInstallation, _ count: Int64) async throws {
        try await it.database.query(
            """
            UPDATE signing_keys SET sealed = NULL, held_by = 'token'
            WHERE kid IN (SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY kid LIMIT \(count))
            """)
    }

    private func makeKeys(_ it: TestInstallation, in holder: KeyHolder) async throws {
        try await it.database.query("UPDATE installation SET keys_held_by = \(holder.rawValue)")
    }

    @Test func `are no false alarm of a token that the shell knows nothing of`() async throws {
        try await still { it in
            try await moveStandbys(it, 2)
            try await makeKeys(it, in: .token)
            try await command(it, with: { _ in }) { shell in
                let signer = try await KeyAdministration(shell.signingKeys, use: shell.keyUse).signer()
                let foresight = try await shell.compromises.foresee(signer)
                #expect(foresight.unfit == [] && foresight.isUntold)
                guard case .compromise(let change) = foresight.decision else {
                    Issue.record("\(foresight.decision)")
                    return
                }
                #expect(change.takeover?.standing == .ripe)
                let effects =
                    try await KeyCompromiseAdministration(shell.compromises, sessions: shell.sessions)
                    .foresee(signer).object?["effects"]?.strings ?? []
                #expect(effects.contains { $0.contains("cannot be told here") })
                #expect(!effects.contains { $0.contains("does not open") })
                // What is about to sign is proved: by a shell that cannot, none is chosen.
                try await makeKeys(it, in: .database)
                try await it.database.query(
                    """
                    UPDATE signing_keys
                    SET published_at = published_at - interval '99 days', activates_at = activates_at - interval '99 days'
                    """)
                let steps = try await shell.signingKeys.carryOutDue(origin: Self.origin)
                #expect(steps.filter(\.takesStandby) == [])
                #expect(try await KeyAdministration(shell.signingKeys, use: shell.keyUse).signer() == signer)
                let outcome = try await shell.compromises.compromise(signer, reason: "why", origin: Self.origin)
                #expect(outcome.takeover?.kid == change.takeover?.kid)
                #expect(outcome.opening == .unknown && outcome.unmade == nil)
            }
        }
    }

    @Test func `are made as a node without the token makes them: it leaves new keys to those that have it`()
        async throws
    {
        try await still { it in
            try await moveStandbys(it, 1)
            try await makeKeys(it, in: .token)
            try await node(it) { behind in
                let keys = behind.signingKeys
                await #expect(throws: SigningKeyError.self) { try await keys.carryOutDue(origin: Self.origin) }
                #expect(try await keys.all().keys.count == 3)
                try await moveStandbys(it, 2)
                let all = try await keys.all().keys
                // It does not open here, and elsewhere it does: better than a key outside of the token.
                let signer = try await KeyAdministration(keys, use: behind.keyUse).signer()
                let outcome = try await behind.compromises.compromise(signer, reason: "why", origin: Self.origin)
                #expect(outcome.takeover.map { next in all.contains { $0.kid == next.kid && $0.isStandby } } == true)
                #expect(outcome.takeover?.standing == .ripe && !outcome.leavesNobody)
                for why in [outcome.opening, .fails(why: outcome.unmade ?? "")] {
                    guard case .fails(let why) = why else {
                        Issue.record("\(String(describing: why))")
                        continue
                    }
                    #expect(why.contains("LATCHKEY_PKCS11_MODULE"))
                }
                #expect(try await keys.all().keys.count == 3)
            }
            try await makeKeys(it, in: .database)
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

    /// The site with the token is lost, and a dump is restored where there is none.
    @Test func `are no hindrance to a node without a token where a history was lost`() async throws {
        try await still { it in
            try await moveStandbys(it, 2)
            try await it.database.query("UPDATE installation SET keys_held_by = 'token'")
            try await node(it) { alone in
                _ = try await alone.lostHistory.begin(origin: Self.origin)
                let signer = try await KeyAdministration(alone.signingKeys, use: alone.keyUse).signer()
                let key = try await alone.signingKeys.all().keys.first { $0.kid == signer }
                #expect(key?.holder == .database)
            }
        }
    }

    /// The nodes can make one: that nobody can is not for a shell to say which lacks their settings.
    @Test func `compromise no last key where the shell alone can make none to follow it`() async throws {
        try await still { it in
            try await it.database.query("DELETE FROM signing_keys WHERE activates_at IS NULL")
            try await it.database.query("UPDATE installation SET keys_held_by = 'token'")
            try await command(it, with: { _ in }) { installation in
                let signer = try await KeyAdministration(installation.signingKeys, use: installation.keyUse).signer()
                do {
                    _ = try await installation.compromises.compromise(signer, reason: "why", origin: Self.origin)
                    Issue.record("nobody signs")
                } catch SigningKeyError.tokenUnset {
                }
                #expect(try await installation.signingKeys.nobodySigns() == false)
            }
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
