import Foundation
import JOSE
import Testing

/// `latchkey dev`, each test with a DIR and a PostgreSQL of its own.
@Suite struct DevTests {
    /// What a first start has left behind.
    private struct Before: Sendable {
        let keyIDs: [String]
        let users: JSONValue?
        let password: String
        let login: Site.Answer
        let revoked: String
    }

    @Test func `A first start makes everything, and a second finds everything as it was`() async throws {
        try await Dev.withFolder { folder in
            let port = FreePort.next()
            var first: Before?
            try await Dev.run(in: folder, port: port) { dev async throws in
                #expect(folder.mode("") == 0o700)
                #expect(folder.mode("keys") == 0o700)
                #expect(folder.mode("keys/master-key-1") == 0o600)
                #expect(folder.mode("dev.json") == 0o600)
                #expect(folder.mode("admin-password") == 0o600)
                #expect(folder.state["issuer"]?.string == "http://127.0.0.1:\(port)")
                #expect(folder.state["pid"]?.int == Int64(dev.process.id))
                #expect(folder.state["socket"]?.string?.isEmpty == false)
                let password = folder.adminPassword
                #expect(dev.process.transcript.output.contains("password \(password) "))

                let login = try await dev.site.logIn("admin", password)
                let scopes = Set(login["scope"].split(separator: " ").map(String.init))
                #expect(
                    scopes.isSuperset(of: [
                        "account", "users:read", "users:write", "sessions:read", "sessions:revoke", "keys:read",
                        "keys:rotate", "audit:read", "introspect",
                    ]))
                #expect(try await dev.site.get("/admin/users", bearer: login["access_token"]).status == 200)

                let doomed = try await dev.site.newUser("ada")
                #expect(try await dev.site.account(doomed["access_token"]) == 200)
                #expect(try await dev.site.revoke(doomed["refresh_token"]).status == 200)
                #expect(try await dev.site.account(doomed["access_token"]) == 401)
                first = Before(
                    keyIDs: try await dev.site.keyIDs(), users: try await dev.json("users", "list"), password: password,
                    login: login, revoked: doomed["access_token"])
            }
            let before = try #require(first)
            #expect(before.keyIDs.count == 3)
            try await Dev.run(in: folder, port: port) { dev async throws in
                #expect(dev.process.transcript.outputLines == ["ready: http://127.0.0.1:\(port)"])
                #expect(dev.process.transcript.errors.contains("making") == false)
                #expect(try await dev.site.keyIDs() == before.keyIDs)
                #expect(try await dev.json("users", "list") == before.users)
                #expect(folder.adminPassword == before.password)
                #expect(try await dev.site.logIn("admin", before.password).status == 200)
                #expect(try await dev.site.account(before.login["access_token"]) == 200)
                #expect(try await dev.site.account(before.revoked) == 401)
                #expect(try await dev.site.refresh(before.login["refresh_token"]).status == 200)
            }
        }
    }

    @Test func `Killed with -9 it leaves no PostgreSQL behind within five seconds, and the next start goes on`()
        async throws
    {
        try await Dev.withFolder { folder in
            let port = FreePort.next()
            let first = try await Dev.start(in: folder, port: port)
            let alive = try await first.site.newUser("alive")
            let doomed = try await first.site.newUser("doomed")
            #expect(try await first.site.revoke(doomed["access_token"]).status == 200)
            let ended = try await first.site.newUser("ended")
            #expect(try await first.site.revoke(ended["refresh_token"]).status == 200)

            let processes = ProcessTable.descendants(of: first.process.id)
            #expect(processes.count >= 5, "the guard, the server and its own")
            first.process.send(SIGKILL)
            #expect(try await first.process.end().exit == .signal(SIGKILL))
            let (left, _) = await ProcessTable.untilGone(
                processes, using: try #require(folder.cluster), within: .seconds(5))
            #expect(left == [])
            let socket = try #require(folder.state["socket"]?.string)
            #expect(FileManager.default.fileExists(atPath: socket) == false)

            try await Dev.run(in: folder, port: port) { dev async throws in
                #expect(try await dev.site.account(alive["access_token"]) == 200)
                #expect(try await dev.site.refresh(alive["refresh_token"]).status == 200)
                for token in [doomed["access_token"], ended["access_token"]] {
                    #expect(try await dev.site.account(token) == 401)
                }
                #expect(try await dev.site.refresh(doomed["refresh_token"]).status == 200, "only a jti was revoked")
                #expect(try await dev.site.refresh(ended["refresh_token"])["error"] == "invalid_grant")
            }
        }
    }

    @Test func `A start that follows a kill -9 at once waits for what is still ending`() async throws {
        try await Dev.withFolder { folder in
            let first = try await Dev.start(in: folder)
            let password = folder.adminPassword
            first.process.send(SIGKILL)
            try await first.process.end()
            try await Dev.run(in: folder) { dev async throws in
                #expect(try await dev.site.logIn("admin", password).status == 200)
            }
        }
    }

    @Test func `A first start that is cut off is taken up by the next, and leaves no second cluster`() async throws {
        try await Dev.withFolder { folder in
            let first = try await LatchkeyBinary.start(["dev", "--data", folder.path, "--port", "\(FreePort.next())"])
            _ = try await first.await("word of the cluster's making", within: 60) { transcript in
                transcript.errors.contains("making a private PostgreSQL") ? true : nil
            }
            let cluster = try #require(folder.cluster)
            first.send(SIGKILL)
            try await first.end()
            try await Dev.run(in: folder) { dev async throws in
                #expect(folder.cluster == cluster)
                #expect(try await dev.site.logIn("admin", folder.adminPassword).status == 200)
            }
        }
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func `A signal ends it with its PostgreSQL and status 0, open connections notwithstanding`(signal: Int32)
        async throws
    {
        try await Dev.withFolder { folder in
            let dev = try await Dev.start(in: folder)
            // Its connection stays open in the client's pool.
            let login = try await dev.site.newUser("ada")
            #expect(login.status == 200)
            let processes = ProcessTable.descendants(of: dev.process.id)
            dev.process.send(signal)
            let transcript = try await dev.process.end(within: 20)
            #expect(transcript.exit == .code(0), "\(transcript.errors)")
            let (left, _) = await ProcessTable.untilGone(processes, using: try #require(folder.cluster), within: .zero)
            #expect(left == [], "nothing outlives it, not even for a moment")
        }
    }

    @Test func `SIGTERM ends it even where whoever started it blocked that signal`() async throws {
        let block =
            "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT]); "
            + "os.execv(sys.argv[1], sys.argv[1:])"
        try await Dev.withFolder { folder in
            let dev = try await Dev.start(in: folder, prefix: ["/usr/bin/python3", "-c", block])
            dev.process.send(SIGTERM)
            #expect(try await dev.process.end(within: 20).exit == .code(0))
            _ = await ProcessTable.untilGone(using: try #require(folder.cluster), within: .seconds(5))
        }
    }

    @Test func `A DIR may be 200 characters long, with spaces and quotes`() async throws {
        var name = #"it's a "long" $HOME, "#
        let home = 38
        name += String(repeating: "deep down ", count: 20).prefix(200 - home - name.count) + "."
        try await Dev.withFolder(named: name) { folder in
            #expect((195...205).contains(folder.path.count), "\(folder.path.count)")
            try await Dev.run(in: folder) { dev async throws in
                #expect(try await dev.site.logIn("admin", folder.adminPassword).status == 200)
                #expect(try await dev.json("users", "list")?.array?.count == 1)
            }
        }
    }

    @Test func `A second one on the same DIR is refused with what to do, and the first goes on`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev async throws in
                let second = try await LatchkeyBinary.run([
                    "dev", "--data", folder.path, "--port", "\(FreePort.next())",
                ])
                #expect(second.refused("another `latchkey dev` runs", "latchkey serve --data"), "\(second)")
                #expect(try await dev.site.get("/readyz").status == 200)
                #expect(folder.state["pid"]?.int == Int64(dev.process.id))
            }
        }
    }

    @Test func `A port that is taken is refused with its number, and leaves no PostgreSQL behind`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev async throws in
                try await Dev.withFolder { other in
                    let second = try await LatchkeyBinary.run([
                        "dev", "--data", other.path, "--port", "\(dev.site.port)",
                    ])
                    #expect(second.exit == .code(1))
                    #expect(second.errors.contains("\(dev.site.port)"), "\(second.errors)")
                    let (left, _) = await ProcessTable.untilGone(using: try #require(other.cluster), within: .zero)
                    #expect(left == [])
                }
            }
        }
    }

    @Test func `A password from the environment is taken, and neither printed nor kept`() async throws {
        try await Dev.withFolder { folder in
            let password = "Tr0ub4dor and three"
            try await Dev.run(in: folder, environment: ["LATCHKEY_ADMIN_PASSWORD": password]) { dev async throws in
                #expect(try await dev.site.logIn("admin", password).status == 200)
                let transcript = dev.process.transcript
                #expect(transcript.output.contains("LATCHKEY_ADMIN_PASSWORD"))
                #expect(transcript.output.contains(password) == false)
                #expect(transcript.errors.contains(password) == false)
                #expect(folder.mode("admin-password") == nil)
            }
        }
    }

    @Test(arguments: [
        ("LATCHKEY_PORT", "eighty", "LATCHKEY_PORT is eighty"),
        ("LATCHKEY_KEY_PUBLISH_LEAD", "5", "10 + LATCHKEY_CLOCK_LEEWAY 3 + 2 = 15"),
    ])
    func `A wrong setting is refused with its reason before anything is made`(
        name: String, value: String, reason: String
    ) async throws {
        try await Dev.withFolder { folder in
            let transcript = try await LatchkeyBinary.run(["dev", "--data", folder.path], environment: [name: value])
            #expect(transcript.exit == .code(1))
            #expect(transcript.errors.contains(reason), "\(transcript.errors)")
            #expect(FileManager.default.fileExists(atPath: folder.path) == false)
        }
    }

    @Test func `A password from the environment that is too weak is refused, and leaves no PostgreSQL behind`()
        async throws
    {
        try await Dev.withFolder { folder in
            let transcript = try await LatchkeyBinary.run(
                ["dev", "--data", folder.path], environment: ["LATCHKEY_ADMIN_PASSWORD": "short"])
            #expect(transcript.exit == .code(1))
            #expect(transcript.errorLines.last?.contains("LATCHKEY_ADMIN_PASSWORD") == true, "\(transcript.errors)")
            let (left, _) = await ProcessTable.untilGone(using: try #require(folder.cluster), within: .zero)
            #expect(left == [])
        }
    }
}
