import EmbeddedPostgres
import JOSE
import Latchkey
import LatchkeyTesting
import Logging
import Testing

@Suite("A node without its database", .eachAnswerCounts)
struct OutageTests {
    @Test("grants nothing, hangs nobody, keeps serving what is safe, and heals by itself")
    func failsClosed() async throws {
        // Settings and master keys of an installation of the tests, on a cluster of this test's own.
        try await TestInstallation.run(nodes: 1) { it in
            try await OwnCluster.run(migrations: Migrations.all) { cluster in
                let server = cluster.server
                var settings = it.settings
                settings.databaseURL = cluster.connectionString
                let patient = try await node(settings, it)
                // Its JWKS is served for 3 s after the last reading.
                settings.keys = KeyPolicy(publishLead: 16, maxAge: 10, leeway: 3)
                let hasty = try await node(settings, it)
                do {
                    try await journey(server, patient, hasty)
                } catch {
                    await patient.stop()
                    await hasty.stop()
                    throw error
                }
                await patient.stop()
                await hasty.stop()
            }
        }
    }

    private func journey(_ server: EmbeddedPostgres, _ patient: TestNode, _ hasty: TestNode) async throws {
        let tokens = try await patient.newUser("alice")
        let next = try await patient.refresh(tokens.refresh)
        #expect(next.status == 200)
        for node in [patient, hasty] { #expect(try await node.get("/readyz").status == 200) }

        await server.stopImmediately()
        for node in [patient, hasty] {
            #expect(try await becomesTrue { try await node.get("/readyz").status == 503 })
        }
        let ready = try await patient.get("/readyz")
        #expect(ready.header("retry-after") == "1")
        #expect(try await patient.get("/livez").status == 200)
        #expect(try await patient.get("/.well-known/openid-configuration").status == 200)

        // Whoever needs the database, or proof that the list is fresh, is told so, in time.
        let start = ContinuousClock.now
        let answers = [
            try await patient.get("/account", bearer: tokens.access), try await patient.refresh(next.refresh),
            try await patient.logIn("alice"), try await patient.revoke(next.refresh),
            try await patient.revoke(next.access), try await patient.post("/auth/logout", bearer: next.access),
            try await patient.post("/auth/register", ["username": "bob", "password": "correct horse"]),
        ]
        for (number, answer) in answers.enumerated() {
            #expect(answer.status == 503, "\(number)")
            #expect(answer.header("retry-after") != nil, "\(number)")
        }
        #expect(ContinuousClock.now - start < .seconds(15))

        #expect(try await becomesTrue { try await hasty.get("/.well-known/jwks.json").status == 503 })
        #expect(try await patient.get("/.well-known/jwks.json").status == 200)

        try await server.restart()
        for node in [patient, hasty] {
            #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
            #expect(try await node.admits(next))
            #expect(try await node.get("/.well-known/jwks.json").status == 200)
        }
        // Nothing that was answered 503 has ended or advanced the session behind its owner's back.
        let after = try await patient.refresh(next.refresh)
        #expect(after.status == 200)
        #expect(try await patient.revoke(after.refresh).status == 200)
        #expect(try await becomesTrue { try await hasty.admits(after) == false })
    }

    private func node(_ settings: Settings, _ it: TestInstallation) async throws -> TestNode {
        try await TestNode.start(
            Installation(
                settings, masterKeys: it.node.installation.masterKeys,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    }
}
