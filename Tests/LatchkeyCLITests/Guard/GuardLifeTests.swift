import Foundation
import Glibc
import JOSE
import LatchkeyTesting
import NIOHTTP1
import Testing

/// The process: how it starts, what it shows, how it ends.
@Suite(.sharedDev) struct GuardLifeTests {
    @Test(arguments: [
        ["guard"], ["guard", "--issuer", "https://id.example"],
        ["guard", "--issuer", "http://id.example", "--audience", "a"],
        ["guard", "--issuer", "https://id.example", "--audience", "a", "--stale-after", "1"],
        ["guard", "--issuer", "https://id.example", "--audience", "a", "--upstream", "http://a/b"],
        ["guard", "--issuer", "https://id.example", "--audience", "a", "--port", "x"],
    ])
    func `What is wrong stops the start with one line`(arguments: [String]) async throws {
        let transcript = try await LatchkeyBinary.run(arguments)
        #expect(transcript.refused("latchkey: "), "\(transcript)")
        #expect(transcript.errors.contains("--") || transcript.errors.contains("LATCHKEY_GUARD_"))
    }

    @Test func `A variable that is no setting stops the start`() async throws {
        let transcript = try await LatchkeyBinary.run(
            ["guard", "--issuer", "https://id.example", "--audience", "a"],
            environment: ["LATCHKEY_GUARD_SCOPES": "orders:read"])
        #expect(transcript.refused("LATCHKEY_GUARD_SCOPES is no setting of the guard"), "\(transcript)")
    }

    @Test func `A port that is taken is told of`() async throws {
        let dev = try SharedDev.dev
        try await GuardProcess.run(of: dev.site) { it async throws in
            let transcript = try await LatchkeyBinary.run([
                "guard", "--issuer", dev.site.issuer, "--audience", "a", "--port", "\(it.port)", "--management-port",
                "\(FreePort.next())",
            ])
            #expect(transcript.exit == .code(1))
            #expect(transcript.errors.contains("port \(it.port) or"), "\(transcript)")
        }
    }

    @Test func `Its operators see whether it lives, whether it judges, and what it has counted`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("ada")["access_token"]
        try await GuardProcess.run(of: dev.site, ["--name", "guard/test"]) { it async throws in
            #expect(try await it.manage("/livez")["status"] == "alive")
            let ready = try await it.manage("/readyz")
            #expect(ready.status == 200 && ready["status"] == "ready" && !ready["position"].isEmpty)
            for (path, given) in [("/check", token), ("/check", ""), ("/check", "x"), ("/check?role=none", token)] {
                _ = try await it.send(path, given.isEmpty ? nil : given)
            }
            _ = try await it.send("/none", token)
            for (verdict, count) in [
                ("allowed", 1.0), ("missing", 1), ("rejected", 1), ("insufficient", 1), ("refused", 1), ("stale", 0),
            ] {
                #expect(
                    try await it.metric("latchkey_guard_requests_total{verdict=\"\(verdict)\"}") == count, "\(verdict)")
            }
            #expect(try await it.metric("latchkey_verifier_tokens_rejected_total{reason=\"malformed\"}") == 1)
            #expect(try await it.metric("latchkey_verifier_feed_messages_total") >= 1)
            for path in ["/check", "/", "/envoy/"] { #expect(try await it.manage(path).status == 404) }
            // The node writes down whom it has seen when it is asked.
            let seen = try await dev.site.get("/admin/keys/verifiers", bearer: dev.administrator())
            #expect(String(decoding: seen.body, as: UTF8.self).contains("guard/test"))
        }
    }

    @Test func `SIGTERM ends it with 0, after what is under way`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("bob")["access_token"]
        try await EchoService.run { service async throws in
            try await GuardProcess.run(of: dev.site, ["--upstream", "http://127.0.0.1:\(service.port)"]) {
                it async throws in
                let caller = try await RawCaller.connect(port: it.port)
                caller.send(
                    "POST /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nContent-Length: 40000\r\n\r\n"
                        + String(repeating: "x", count: 30_000))
                #expect(await becomesTrue { service.seen.count == 1 })
                it.process.send(SIGTERM)
                #expect(await becomesTrue { (try? await RawCaller.connect(port: it.port)) == nil })
                caller.send(String(repeating: "x", count: 10_000))
                #expect(await caller.answers(1).map(\.status) == [200])
                #expect(service.seen.last?.isWhole == true)
                let transcript = try await it.process.end(within: 20)
                #expect(transcript.exit == .code(0), "\(transcript.errors)")
            }
        }
    }

    @Test func `No token stands in its log, however talkative`() async throws {
        let dev = try SharedDev.dev
        let user = try await dev.site.newUser("carla")
        try await EchoService.run { service async throws in
            let options = ["--upstream", "http://127.0.0.1:\(service.port)", "--log-level", "trace"]
            try await GuardProcess.run(of: dev.site, options) { it async throws in
                let token = user["access_token"]
                #expect(try await it.send("/a?secret=hunter2", token).status == 200)
                #expect(try await it.send("/a", token + "A").status == 401)
                #expect(try await it.send("/hang-up?secret=hunter2", token).status == 502)
                it.process.send(SIGTERM)
                let log = try await it.process.end(within: 20).errors
                #expect(log.contains("token refused"))
                for secret in [token, String(token.suffix(40)), "hunter2"] { #expect(!log.contains(secret)) }
            }
        }
    }

    @Test func `Where the feed is not for everyone it shows a client's credentials`() async throws {
        try await Dev.withFolder { folder async throws in
            try await Dev.run(in: folder, environment: ["LATCHKEY_FEED_ACCESS": "verifiers"]) { dev async throws in
                let made = try #require(
                    try await dev.json("clients", "create", "guard", "--scope", "revocations")?.object)
                let id = try #require(made["client_id"]?.string)
                let secret = try #require(made["client_secret"]?.string)
                let file = "\(folder.home)/credentials"
                try "\(id):\(secret)\n".write(toFile: file, atomically: true, encoding: .utf8)
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
                let token = try await dev.site.newUser("ada")["access_token"]
                try await GuardProcess.run(of: dev.site, ["--credentials-file", file]) { it async throws in
                    #expect(try await it.send("/check", token).status == 200)
                    #expect(try await it.metric("latchkey_verifier_feed_messages_total") >= 1)
                }
            }
        }
    }
}
