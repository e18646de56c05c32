import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import Postgres
import Testing

@testable import Latchkey

@Suite struct `The key schedule's worker` {
    /// Moves the keys' whole past.
    private func age(_ it: TestInstallation, days: Int64) async throws {
        try await it.database.batch([
            """
            UPDATE signing_keys
            SET created_at = created_at - \(days) * interval '1 day',
                published_at = published_at - \(days) * interval '1 day',
                activates_at = activates_at - \(days) * interval '1 day'
            """,
            "UPDATE key_ring SET version = version + 1",
        ])
    }

    private func count(_ it: TestInstallation, _ query: Query) async throws -> Int64 {
        try await it.database.query(query).one().decode("count")
    }

    private func published(_ node: TestNode) async throws -> Set<String> {
        let keys = try await node.get(JWKSRoutes.path).json["keys"]?.array ?? []
        return Set(keys.compactMap { $0.object?["kid"]?.string })
    }

    @Test func `rotates when the interval has passed, once for all nodes, and signs on meanwhile`() async throws {
        try await TestInstallation.run(nodes: 3) { it in
            let before = try await it.node.newUser("alice")
            let old = try before.signer
            try await age(it, days: 29)
            // Not due yet: nothing may come of it while a further day is added.
            #expect(try await it.nodes[1].logIn("alice").signer == old)
            try await age(it, days: 2)
            #expect(try await becomesTrue { try await it.nodes[2].logIn("alice").signer != old })
            #expect(try await count(it, "SELECT count(*) FROM audit_events WHERE action = 'key.rotated'") == 1)
            #expect(try await count(it, "SELECT count(*) FROM signing_keys") == 4)
            // Nobody rotates again, and what was signed before is good everywhere.
            #expect(
                try await becomesTrue {
                    try await count(it, "SELECT count(*) FROM signing_keys WHERE published_at IS NULL") == 0
                })
            for node in it.nodes { #expect(try await node.admits(before)) }
            #expect(try await count(it, "SELECT count(*) FROM audit_events WHERE action = 'key.rotated'") == 1)
        }
    }

    @Test func `signs at once after an idle month, and rotates`() async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let masterKeys = try MasterKeyFolder(it.settings.keysDirectory).load()
            func start() async throws -> TestNode {
                try await TestNode.start(
                    Installation(
                        it.settings, masterKeys: masterKeys,
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            }
            let first = try await start()
            let old = try await first.newUser("alice").signer
            await first.stop()
            try await age(it, days: 31)
            try await it.database.query(
                """
                UPDATE node_ticks
                SET ticked_at = ticked_at - interval '31 days', seen_at = seen_at - interval '31 days'
                """)
            let second = try await start()
            do {
                #expect(try await second.logIn("alice").signer == old)
                #expect(try await becomesTrue(within: .seconds(30)) { try await second.logIn("alice").signer != old })
            } catch {
                await second.stop()
                throw error
            }
            await second.stop()
        }
    }

    @Test func `publishes the standbys that are missing, and stamps them later than it made them`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            try await it.database.batch([
                "DELETE FROM signing_keys WHERE activates_at IS NULL",
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(
                try await becomesTrue {
                    try await count(
                        it,
                        """
                        SELECT count(*) FROM signing_keys
                        WHERE activates_at IS NULL AND NOT founding AND published_at > created_at
                        """) == 2
                })
            for node in it.nodes { #expect(try await becomesTrue { try await published(node).count == 3 }) }
            #expect(try await count(it, "SELECT count(*) FROM audit_events WHERE action = 'key.published'") == 2)
            #expect(try await count(it, "SELECT count(*) FROM audit_events WHERE action = 'key.stamped'") == 2)
        }
    }

    @Test func `lets a retired key part, leave and be destroyed, each in its time`() async throws {
        try await TestInstallation.run { it in
            let old = try await it.node.newUser("alice").signer
            let administrator = try await it.node.administrator()
            #expect(try await it.node.post("/admin/keys/rotate", bearer: administrator).status == 202)
            func stands(_ condition: Query) async throws -> Bool {
                try await becomesTrue {
                    try await count(it, "SELECT count(*) FROM signing_keys WHERE kid = \(old) AND \(condition)") == 1
                }
            }
            #expect(try await stands("leaves_at > clock_timestamp() + interval '600 seconds' AND removed_at IS NULL"))
            #expect(try await published(it.node).contains(old))
            // Its last token is dead.
            try await it.database.batch([
                "UPDATE signing_keys SET leaves_at = clock_timestamp() WHERE kid = \(old)",
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await stands("removed_at IS NOT NULL AND sealed IS NOT NULL"))
            #expect(try await becomesTrue { try await published(it.node).contains(old) == false })
            // And a lead has passed.
            try await it.database.batch([
                """
                UPDATE signing_keys
                SET activates_at = activates_at - interval '46 seconds', retires_at = retires_at - interval '46 seconds',
                    leaves_at = leaves_at - interval '46 seconds', removed_at = removed_at - interval '46 seconds'
                """,
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await stands("sealed IS NULL"))
            for action in ["key.parted", "key.removed", "key.wiped"] {
                #expect(try await it.audited(action, "key:\(old)") == 1, "\(action)")
            }
        }
    }

    @Test func `gives a new algorithm its keys, which stand their lead before they sign`() async throws {
        try await TestInstallation.run { it in
            var settings = it.settings
            settings.signingAlgorithm = .es256
            let installation = Installation(
                settings, masterKeys: it.node.installation.masterKeys, logger: it.node.installation.logger)
            let other = try await TestNode.start(installation)
            do {
                _ = try await it.node.newUser("alice")
                let ripe: Query =
                    "SELECT count(*) FROM signing_keys WHERE algorithm = 'ES256' AND published_at IS NOT NULL"
                #expect(try await becomesTrue { try await count(it, ripe) == 3 })
                #expect(try await other.logIn("alice").algorithm == "RS256")
                try await it.database.query(
                    "UPDATE signing_keys SET published_at = published_at - interval '46 seconds' WHERE algorithm = 'ES256'"
                )
                try await it.database.query("UPDATE key_ring SET version = version + 1")
                #expect(try await becomesTrue { try await other.logIn("alice").algorithm == "ES256" })
                let token = try await other.logIn("alice")
                for node in [it.node, other] { #expect(try await node.admits(token)) }
                // Each node signs by its own setting.
                #expect(try await it.node.logIn("alice").algorithm == "RS256")
                #expect(
                    try await becomesTrue {
                        try await count(
                            it, "SELECT count(*) FROM signing_keys WHERE algorithm = 'ES256' AND activates_at IS NULL")
                            == 2
                    })
            } catch {
                await other.stop()
                throw error
            }
            await other.stop()
        }
    }

    @Test func `retires no signer of the installation's while no node has ticked for long`() async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let installation = Installation(
                it.settings, masterKeys: try it.settings.masterKeySource.load(), logger: MasterKeyScene.quiet)
            defer { installation.close() }
            try await Node(installation).prepare()
            // A client asks for ES256, whose first key has just come to sign.
            let keys = SigningKeys(
                it.database, masterKeys: installation.masterKeyRing, policy: it.settings.keyPolicy,
                clock: installation.clock, algorithm: .rs256, alsoInUse: { [.es256] })
            let origin = Origin(actor: "test")
            for _ in 0..<2 { try await keys.carryOutDue(origin: origin) }
            try await age(it, days: 1)
            #expect(try await keys.carryOutDue(origin: origin).contains { $0.takesStandby })
            try await it.database.query(
                """
                UPDATE signing_keys SET activates_at = activates_at - interval '10 seconds'
                WHERE activates_at > clock_timestamp()
                """)
            try await it.database.query(
                "UPDATE node_ticks SET ticked_at = ticked_at - interval '9 days', seen_at = seen_at - interval '9 days'"
            )
            #expect(try await keys.read().inForce.algorithms == [])
            for _ in 0..<2 {
                let steps = try await keys.carryOutDue(origin: origin)
                #expect(!steps.contains { if case .retire = $0 { true } else { false } }, "\(steps)")
            }
            let ring = try await keys.read()
            for algorithm in [SignatureAlgorithm.rs256, .es256] {
                #expect(KeySchedule.signer(ring.keys, at: ring.clock.now, algorithm: algorithm) != nil)
            }
        }
    }

    @Test func `passes over a standby that does not open`() async throws {
        try await TestInstallation.run { it in
            let old = try await it.node.newUser("alice").signer
            let row = try await it.database.query(
                """
                UPDATE signing_keys SET sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))
                WHERE kid = (
                    SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY published_at, created_at, kid LIMIT 1)
                RETURNING kid
                """
            ).one()
            let damaged: String = try row.decode("kid")
            try await age(it, days: 31)
            #expect(try await becomesTrue { try await it.node.logIn("alice").signer != old })
            #expect(try await it.node.logIn("alice").signer != damaged)
            #expect(try await it.node.get("/readyz").status == 200)
        }
    }

    @Test(.eachAnswerCounts)
    func `takes a node out of service that cannot open the current key, and signs with no other`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            let old = try tokens.signer
            try await it.database.batch([
                "CREATE TABLE good AS SELECT kid, sealed FROM signing_keys",
                "UPDATE signing_keys SET master_key_version = master_key_version",
            ])
            let next: String = try await it.database.query(
                "SELECT kid FROM signing_keys WHERE activates_at IS NULL ORDER BY kid LIMIT 1"
            ).one().decode("kid")
            // The next key signs from now on, and its private half is damaged.
            try await it.database.batch([
                "UPDATE signing_keys SET retires_at = now() WHERE kid = \(old)",
                "UPDATE signing_keys SET activates_at = now(), sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40)) WHERE kid = \(next)",
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await becomesTrue { try await it.node.get("/readyz").status == 503 })
            let refused = try await it.node.logIn("alice")
            #expect(refused.status == 503)
            #expect(refused.header("retry-after") != nil)
            #expect(try await it.node.refresh(tokens.refresh).status == 503)
            // Tokens are judged, and the JWKS is served, as before.
            #expect(try await it.node.admits(tokens))
            #expect(try await it.node.get(JWKSRoutes.path).status == 200)
            try await it.database.batch([
                "UPDATE signing_keys SET sealed = good.sealed FROM good WHERE good.kid = signing_keys.kid",
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await becomesTrue { try await it.node.get("/readyz").status == 200 })
            #expect(try await it.node.logIn("alice").signer == next)
            #expect(
                try await becomesTrue {
                    try await count(it, "SELECT count(*) FROM signing_keys WHERE activates_at IS NULL") == 2
                })
        }
    }

    @Test func `decides nothing on a clock that was stepped since the last tick`() async throws {
        try await TestInstallation.run { it in
            let installation = it.node.installation
            let clock = NodeClock()
            let keys = SigningKeys(
                it.database, masterKeys: installation.masterKeyRing, policy: it.settings.keys, clock: clock,
                algorithm: .rs256)
            let signer = try await it.node.newUser("alice").signer
            let early = try await keys.read()
            _ = clock.take(early.sample, settling: 60)
            // The machine's boot clock tells of an hour that the database's does not.
            let shifted = SteadyClock.Sample(
                raw: early.sample.raw + 3600, reading: early.clock, begun: early.sample.begun, ended: early.sample.ended
            )
            _ = clock.take(shifted, settling: 60)
            await #expect(throws: Rejection.unavailable(retryAfter: 1)) {
                try await keys.rotate(from: signer, reason: nil, origin: Origin(actor: "test"))
            }
            #expect(try await count(it, "SELECT count(*) FROM signing_keys") == 3)
        }
    }
}

extension TestNode.Answer {
    /// The `alg` of the access token's header.
    fileprivate var algorithm: String {
        get throws {
            let header = try #require(Base64URL.decode(access.utf8.split(separator: UInt8(ascii: "."))[0]))
            return try JSONValue.parse(header).object?["alg"]?.string ?? ""
        }
    }
}
