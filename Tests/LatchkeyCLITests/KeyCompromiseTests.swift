import Foundation
import Glibc
import JOSE
import LatchkeyTesting
import Postgres
import Testing

@Suite struct KeyCompromiseTests {
    /// `latchkey keys COMMAND … -- KID`: one thumbprint in 64 begins with a dash.
    private func keys(
        _ command: String, _ kid: String, _ dev: Dev, _ options: String..., input: String = ""
    ) async throws -> ChildProcess.Transcript {
        try await LatchkeyBinary.run(
            ["keys", command, "--data", dev.folder.path] + options + ["--", kid], input: input)
    }

    private func key(_ state: String, _ dev: Dev) async throws -> String? {
        let keys = try await dev.json("keys", "list")?.array?.compactMap(\.object) ?? []
        return keys.first { $0["state"]?.string == state }?["kid"]?.string
    }

    @Test func `A key is compromised by command once that is confirmed, and taken back`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev in
                let tokens = try await dev.site.newUser("ada")
                let kid = try #require(try await key("active", dev))

                let said = try await keys("compromise", kid, dev, "--reason", "why", input: "yes\n")
                #expect(said.exit == .code(1), "nobody at a terminal has confirmed it")
                #expect(said.outputLines.count == 3)
                #expect(said.output.contains("signs in its place"))
                #expect(said.errorLines == ["latchkey: nothing was done: say --yes to do it"])
                let foreseen = try await keys("compromise", kid, dev, "--reason", "why", "--json")
                #expect(foreseen.exit == .code(1))
                #expect(try JSONValue.parse(Array(foreseen.output.utf8)).object?["sessions"] == 1)
                #expect(try await key("active", dev) == kid)
                #expect(try await dev.site.account(tokens["access_token"]) == 200)
                #expect(try await keys("compromise", kid, dev, "--yes").exit == .code(2), "a reason is asked for")

                let done = try await keys("compromise", kid, dev, "--reason", "why", "--yes", "--json")
                #expect(done.exit == .code(0), "\(done.errors)")
                let answer = try #require(try JSONValue.parse(Array(done.output.utf8)).object)
                #expect(answer["already_compromised"] == false)
                let next = answer["signs_next"]?.object?["kid"]?.string
                #expect(try await key("active", dev) == next)
                #expect(try await key("compromised", dev) == kid)
                #expect(try await dev.site.refusesSoon(tokens["access_token"]))
                let recovered = try await dev.site.refresh(tokens["refresh_token"])
                #expect(try await dev.site.account(recovered["access_token"]) == 200)
                let again = try await keys("compromise", kid, dev, "--reason", "why", "--yes")
                #expect(again.exit == .code(0))
                #expect(again.output.contains("already_compromised: true"))

                let restored = try await keys("restore", kid, dev, "--reason", "a mistake")
                #expect(restored.exit == .code(0), "\(restored.errors)")
                #expect(restored.output.contains("state: retired"))
                let isAdmitted = try await becomesTrue { try await dev.site.account(tokens["access_token"]) == 200 }
                #expect(isAdmitted)
                let records = try await dev.json("audit", "--target", "key:\(kid)")?.array?.compactMap(\.object)
                #expect(records?.compactMap { $0["action"]?.string } == ["key.restored", "key.compromised"])
                #expect(records?.first?["actor"]?.string?.hasPrefix("cli:") == true)
                #expect(records?.last?["detail"]?.object?["next"]?.string == next)
            }
        }
    }

    @Test func `Kill -9 of the node amid a compromise leaves all of it or nothing, and what was acknowledged stands`()
        async throws
    {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let site = nodes[0].site
                let made = try await LatchkeyBinary.run(
                    ["users", "create", "root", "--role", "admin"], environment: ground.environment,
                    input: "correct horse\n")
                #expect(made.exit == .code(0), "\(made.errors)")
                for round in 0..<5 {
                    let tokens = try await site.logIn("root")
                    let listed = try await site.get("/admin/keys", bearer: tokens["access_token"]).json["items"]?.array
                    let kid = try #require(
                        listed?.compactMap(\.object).first { $0["state"]?.string == "active" }?["kid"]?.string)
                    let body: JSONValue = ["reason": "a crash", "confirm": true]
                    let victim = try await ground.start()
                    _ = try await victim.process.line(after: "ready: ")
                    async let answer = try? victim.site.post(
                        "/admin/keys/\(kid)/compromise", body, bearer: tokens["access_token"])
                    // A moment within the few milliseconds that it takes.
                    try await Task.sleep(for: .milliseconds(3 * round + Int.random(in: 0...3)))
                    victim.process.send(SIGKILL)
                    try await victim.process.end()
                    let status = await answer?.status

                    try await ground.withDatabase { database in
                        let row = try await database.query(
                            """
                            SELECT (SELECT count(*) FROM signing_keys WHERE kid = \(kid) AND compromised_at IS NOT NULL) AS gone,
                                   (SELECT count(*) FROM revoked_keys WHERE kid = \(kid)) AS listed,
                                   (SELECT count(*) FROM audit_events WHERE target = 'key:' || \(kid)
                                      AND action = 'key.compromised') AS audited,
                                   (SELECT count(*) FROM signing_keys WHERE activates_at IS NOT NULL
                                      AND retires_at IS NULL AND kid <> \(kid)) AS followed
                            """
                        ).one()
                        let parts = try ["gone", "listed", "audited", "followed"].map { name throws(PostgresError) in
                            try row.decode(name, as: Int64.self)
                        }
                        #expect(Set(parts).count == 1, "\(parts)")
                        if status == 202 { #expect(parts == [1, 1, 1, 1]) }
                        print(
                            "killed amid a compromise, round \(round): \(status ?? 0), \(parts[0] == 1 ? "done" : "not done")"
                        )
                    }
                    let again = try await site.refresh(tokens["refresh_token"])
                    let repeated = try await site.post(
                        "/admin/keys/\(kid)/compromise", body, bearer: again["access_token"])
                    #expect(repeated.status == 202)
                    #expect(try await site.refusesSoon(tokens["access_token"]))
                }
            }
        }
    }
}
