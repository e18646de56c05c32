import Foundation
import JOSE
import Testing

/// `latchkey check-config` and `--config FILE`, by the binary.
@Suite struct CheckConfigTests {
    private static let needed = [
        "LATCHKEY_DATABASE_URL": "postgresql://latchkey:s3cret-canary@db.example/latchkey",
        "LATCHKEY_ISSUER": "https://id.example",
    ]

    private static func withFile(
        _ text: String, mode: Int = 0o600, _ body: (String) async throws -> Void
    ) async throws {
        try await Dev.withFolder { folder in
            let path = "\(folder.home)/latchkey.yaml"
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            try await body(path)
        }
    }

    @Test func `Every setting is shown with its source, and the secret one masked`() async throws {
        try await Self.withFile("accessToken: {ttl: 42}\nhost: 10.1.2.3\n") { path in
            let transcript = try await LatchkeyBinary.run(
                ["check-config", "--json", "--config", path],
                environment: Self.needed.merging(["LATCHKEY_HOST": "10.9.9.9"]) { $1 })
            #expect(transcript.exit == .code(0), "\(transcript.errors)")
            #expect(!transcript.output.contains("canary"))
            let answer = try #require(try JSONValue.parse(Array(transcript.output.utf8)).object)
            let rows = (answer["settings"]?.array ?? []).compactMap(\.object)
            #expect(rows.count > 25)
            func row(_ name: String) -> [String?] {
                let row = rows.first { $0["setting"]?.string == name }
                return [row?["key"]?.string, row?["value"]?.string, row?["source"]?.string]
            }
            #expect(row("LATCHKEY_DATABASE_URL") == ["database.url", "****", "LATCHKEY_DATABASE_URL"])
            #expect(row("LATCHKEY_ACCESS_TOKEN_TTL") == ["accessToken.ttl", "42", "\(path):1"])
            #expect(row("LATCHKEY_HOST") == ["host", "10.9.9.9", "LATCHKEY_HOST"])
            #expect(row("LATCHKEY_PORT") == ["port", "8080", "default"])
            #expect(answer["problems"]?.array?.isEmpty == true)
            #expect(answer["warnings"]?.array?.isEmpty == true)
        }
    }

    @Test func `What is wrong is told with status 1, and what is odd with status 0`() async throws {
        let text = "port: many\nacessToken: {ttl: 5}\n"
        try await Self.withFile(text) { path in
            let environment = Self.needed.merging(["LATCHKEY_HOTS": "x"]) { $1 }
            let wrong = try await LatchkeyBinary.run(["check-config", "--config", path], environment: environment)
            #expect(wrong.exit == .code(1))
            #expect(wrong.errorLines.count == 1, "\(wrong.errors)")
            for expected in [
                "wrong: LATCHKEY_PORT is many (\(path):1)",
                "wrong: \(path), line 2: there is no setting acessToken.ttl",
                "is accessToken.ttl meant?", "warning: LATCHKEY_HOTS", "is LATCHKEY_HOST meant?",
            ] {
                #expect(wrong.output.contains(expected), "\(expected)")
            }
            let odd = try await LatchkeyBinary.run(["check-config"], environment: environment)
            #expect(odd.exit == .code(0))
            #expect(odd.output.contains("warning: LATCHKEY_HOTS"))
            let nothing = try await LatchkeyBinary.run(
                ["check-config"], prefix: ["/usr/bin/env", "-C", "/"], environment: [:])
            #expect(nothing.exit == .code(1))
            #expect(nothing.output.contains("wrong: LATCHKEY_DATABASE_URL is not set"))
            #expect(nothing.output.contains("wrong: LATCHKEY_ISSUER is not set"))
        }
    }

    @Test(arguments: ["serve", "check-config", "doctor", "migrate", "users list", "keys list", "master-key list"])
    func `Every command refuses a file that is missing or malformed, with its line`(command: String) async throws {
        try await Self.withFile("port: 8080\n  host: [\n") { path in
            let words = command.split(separator: " ").map(String.init)
            let malformed = try await LatchkeyBinary.run(words + ["--config", path])
            #expect(malformed.refused("\(path), line 2"), "\(malformed)")
            let missing = try await LatchkeyBinary.run(words + ["--config", "\(path).none"])
            #expect(missing.refused("\(path).none", "--config"), "\(missing)")
        }
    }

    @Test func `A node serves as the file says, refuses its unknown keys, and warns of a password in the open`()
        async throws
    {
        try await ServeGround.run { ground in
            let port = FreePort.next()
            let base =
                "issuer: https://file.example\ndatabase:\n  url: \"\(ground.connectionString) password=s3cret-canary\"\n"
                + "keys: {dir: \(ground.keys)}\nport: \(port)\n"
            try await Self.withFile(base, mode: 0o644) { path in
                let users = try await LatchkeyBinary.run(["users", "list", "--config", path])
                #expect(users.exit == .code(0), "\(users.errors)")
                let keys = try await LatchkeyBinary.run(["master-key", "list", "--config", path])
                #expect(keys.exit == .code(0), "\(keys.errors)")

                let process = try await LatchkeyBinary.start(["serve", "--config", path])
                _ = try await process.line(after: "ready: ")
                let discovery = try await Site(port: port).get("/.well-known/openid-configuration")
                #expect(discovery["issuer"] == "https://file.example")
                process.send(SIGTERM)
                let transcript = try await process.end(within: 20)
                #expect(transcript.exit == .code(0))
                #expect(transcript.errors.contains("chmod 640"))
                #expect(!transcript.errors.contains("canary"))
            }
            try await Self.withFile(base + "databse: {conections: 3}\n") { path in
                let transcript = try await LatchkeyBinary.run(["serve", "--config", path])
                #expect(transcript.exit == .code(1))
                #expect(transcript.errors.contains("line 6: there is no setting databse.conections"))
                #expect(transcript.errors.contains("is database.connections meant?"))
            }
        }
    }

    @Test func `The private installation reads the file too`() async throws {
        try await Self.withFile("registration: closed\nhost: 127.0.0.1\n") { path in
            try await Dev.withFolder { folder in
                let port = FreePort.next()
                let process = try await LatchkeyBinary.start(
                    ["dev", "--data", folder.path, "--port", "\(port)", "--config", path])
                _ = try await process.line(after: "ready: ")
                let refused = try await Site(port: port).post(
                    "/auth/register", ["username": "ada", "password": "correct horse"])
                #expect(refused["code"] == "registration-closed")
                process.send(SIGTERM)
                #expect(try await process.end(within: 20).exit == .code(0))
            }
        }
    }
}
