import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

@Suite struct `A standby that does not open` {
    /// Those that would sign next, in that order.
    private func damage(_ it: TestInstallation, _ count: Int64) async throws -> [String] {
        try await it.database.query(
            """
            UPDATE signing_keys SET sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))
            WHERE kid IN (
                SELECT kid FROM signing_keys WHERE activates_at IS NULL AND compromised_at IS NULL
                ORDER BY published_at, created_at, kid LIMIT \(count))
            RETURNING kid
            """
        ).rows.map { try $0.decode("kid") }
    }

    @Test func `is passed over by a rotation by hand, and so foreseen`() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let signer = try await it.node.logIn("root").signer
            let first = try #require(try await damage(it, 1).first)
            let foreseen = try await it.node.installation.signingKeys.rotation(from: signer)
            let answer = try await it.node.post("/admin/keys/rotate", bearer: administrator)
            #expect(answer.status == 202, "\(answer["detail"])")
            #expect(answer["kid"] != first && answer["kid"] != signer)
            guard case .rotate(_, let next, _) = foreseen else {
                Issue.record("\(foreseen)")
                return
            }
            #expect(next == answer["kid"])
            #expect(try await becomesTrue { try await it.node.logIn("root").signer == next })
            // Of those that are left the next one has to ripen: the damaged one was ripe all the while.
            #expect(
                try await becomesTrue {
                    let again = try await it.node.post(
                        "/admin/keys/rotate", ["from": .string(next)], bearer: administrator)
                    return again.status == 409 && again["code"] == "no-ripe-standby"
                })
        }
    }

    @Test func `counts for none: two that do stand ready behind it again`() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            _ = try await damage(it, 1)
            #expect(try await it.node.post("/admin/keys/rotate", bearer: administrator).status == 202)
            let keys = it.node.installation.signingKeys
            #expect(
                try await becomesTrue(within: .seconds(10)) {
                    _ = try await keys.carryOutDue(origin: Origin(actor: "test"))
                    let all = try await keys.all().keys
                    return await all.count(where: \.isStandby) - keys.unfitStandbys(of: all).count == 2
                })
            // And no more than that.
            #expect(try await keys.carryOutDue(origin: Origin(actor: "test")).filter { $0 == .publish(.rs256) } == [])
            #expect(try await keys.all().keys.count == 5)
        }
    }

    @Test func `of an algorithm that nobody asks for any more leaves as the others do`() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            _ = try await it.node.post(
                "/admin/clients",
                ["client_name": "a service", "scope": "users:read", "access_token_signed_response_alg": "ES256"],
                bearer: administrator)
            let origin = Origin(actor: "test")
            let keys = it.node.installation.signingKeys
            @Sendable func standbys() async throws -> [SigningKey] {
                try await keys.all().keys.filter { $0.algorithm == .es256 && $0.isStandby && $0.publishedAt != nil }
            }
            #expect(
                try await becomesTrue {
                    _ = try await keys.carryOutDue(origin: origin)
                    return try await standbys().count == 3
                })
            try await it.database.batch([
                "UPDATE signing_keys SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE algorithm = 'ES256'",
                "UPDATE clients SET access_token_alg = NULL",
            ])
            #expect(
                try await becomesTrue(within: .seconds(10)) {
                    _ = try await keys.carryOutDue(origin: origin)
                    return try await standbys().isEmpty
                })
        }
    }

    @Test func `as no other does follows no leaked signer: a key is made for that, and it is foreseen`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let signer = try await it.node.newUser("alice").signer
            let damaged = try await damage(it, 2)
            let foreseen = try await scene.foresee(signer)
            #expect(foreseen.json["signs_next"] == nil)
            let effects = foreseen.json["effects"]?.strings ?? []
            #expect(effects.first?.contains("one is made first") == true)
            for kid in damaged { #expect(effects.contains { $0.contains("\(kid) does not open") }) }

            let answer = try await scene.compromise(signer)
            #expect(answer.status == 202, "\(answer["detail"])")
            let next = try #require(answer.json["signs_next"]?.object?["kid"]?.string)
            #expect(!damaged.contains(next) && next != signer)
            #expect(try await it.node.logIn("alice").signer == next)
            #expect(try await it.node.get("/readyz").status == 200)
            #expect(try await it.audited("key.published", "key:\(next)") == 1)
            #expect(try await scene.entries(signer) == [3])
        }
    }

    @Test func `follows a leaked signer all the same where nothing else is and nothing can be made`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let signer = try await it.node.newUser("alice").signer
            var settings = it.settings
            settings.token = TokenSettings(module: "/nowhere.so", label: "x", pin: "x")
            let other = Installation(
                settings, masterKeys: it.node.installation.masterKeys, logger: MasterKeyScene.quiet)
            defer { other.close() }
            let damaged = try await damage(it, 2)
            let outcome = try await other.compromises.compromise(
                signer, reason: "a drill", origin: Origin(actor: "test"))
            #expect(outcome.takeover.map { damaged.contains($0.kid) } == true)
            #expect(try await scene.entries(signer) == [3])
            // Nobody signs until another one does.
            let next = try #require(outcome.takeover?.kid)
            #expect(try await becomesTrue { try await it.node.logIn("alice").status == 503 })
            _ = try await it.node.installation.compromises.compromise(
                next, reason: "a drill", origin: Origin(actor: "test"))
            #expect(try await becomesTrue { try await it.node.logIn("alice").status == 200 })
        }
    }

    @Test(.eachAnswerCounts) func `as no other does refuses a rotation for now, and the log says why`() async throws {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, logLevel: .error) { line in
                let text = String(decoding: line, as: UTF8.self)
                lines.withLock { $0.append(text) }
            }
        }
        try await TestInstallation.run(logger: logger) { it in
            let administrator = try await it.node.administrator()
            let signer = try await it.node.logIn("root").signer
            let damaged = try await damage(it, 2)
            let answer = try await it.node.post("/admin/keys/rotate", bearer: administrator)
            #expect(answer.status == 503)
            #expect(answer.header("retry-after") == "5")
            #expect(damaged.allSatisfy { !answer["detail"].contains($0) })
            let logged = lines.withLock { lines in
                lines.contains { line in
                    line.contains("request failed")
                        && damaged.contains { line.contains("signing key \($0) does not open") }
                }
            }
            #expect(logged)
            #expect(try await it.node.logIn("root").signer == signer)
            #expect(try await it.node.installation.signingKeys.all().keys.count == 3)
        }
    }
}
