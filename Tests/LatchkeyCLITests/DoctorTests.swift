import Foundation
import JOSE
import Postgres
import Testing

/// `latchkey doctor`, by the binary.
@Suite struct DoctorTests {
    private static func findings(
        _ arguments: [String], environment: [String: String] = [:]
    ) async throws -> (levels: [String: String], transcript: ChildProcess.Transcript) {
        let transcript = try await LatchkeyBinary.run(["doctor", "--json"] + arguments, environment: environment)
        var levels: [String: String] = [:]
        for row in try JSONValue.parse(Array(transcript.output.utf8)).array ?? [] {
            let row = try #require(row.object)
            levels[try #require(row["check"]?.string)] = row["level"]?.string
            #expect(row["found"]?.string?.isEmpty == false)
        }
        return (levels, transcript)
    }

    @Test func `A running installation is well, and nothing secret is told of it`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev in
                let (levels, transcript) = try await Self.findings(
                    ["--data", folder.path],
                    environment: ["LATCHKEY_ARGON2_MEMORY_KIB": "19456", "LATCHKEY_ARGON2_ITERATIONS": "2"])
                #expect(transcript.exit == .code(0), "\(transcript)")
                #expect(transcript.errors == "")
                // How quick this machine's disk is, is no matter of the test.
                let steady = levels.filter { $0.key != "commits" && $0.key != "argon2" && $0.key != "feed" }
                #expect(steady.count == 11)
                #expect(Set(steady.values) == ["ok"], "\(levels)")
                for name in ["commits", "argon2", "feed"] { #expect(["ok", "warn"].contains(levels[name]), "\(name)") }
                let key = try #require(folder.read("keys/master-key-1")?.trimmingCharacters(in: .newlines))
                #expect(!transcript.output.contains(key))

                let lines = try await dev.command("doctor")
                #expect(lines.exit == .code(0))
                #expect(lines.output.contains("recommended here: m="))
                #expect(lines.output.contains("answers in"))
                // What it measured by has left nothing.
                let users = try await dev.json("users", "list")?.array
                #expect(users?.count == 1)
            }
        }
    }

    @Test func `A server that does not sync, and nodes that do not tick, are named`() async throws {
        try await ServeGround.run { ground in
            let (levels, transcript) = try await Self.findings([], environment: ground.environment)
            #expect(transcript.exit == .code(1))
            #expect(transcript.errorLines.count == 1)
            #expect(levels["durability"] == "fail", "the tests' cluster has fsync off")
            #expect(levels["nodes"] == "warn")
            // No node has founded the keys yet.
            #expect(levels["signing-key"] == "fail")
            #expect(levels["key-schedule"] == "fail")
            #expect(levels["argon2"] == "warn", "the tests' parameters are weak")
            for name in ["master-keys", "database", "server", "migrations", "clock", "connections"] {
                #expect(levels[name] == "ok", "\(name)")
            }
        }
    }

    @Test func `A database that lacks migrations is examined all the same`() async throws {
        try await ServeGround.run(migrations: []) { ground in
            let (levels, transcript) = try await Self.findings([], environment: ground.environment)
            #expect(transcript.exit == .code(1))
            #expect(levels["migrations"] == "fail")
            #expect(levels["nodes"] == "fail")
            #expect(levels["server"] == "ok")
            #expect(transcript.output.contains("latchkey migrate"))
        }
    }

    @Test func `Another installation's master keys open nothing, and missing ones are named`() async throws {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { _ in
                let (well, _) = try await Self.findings([], environment: ground.environment)
                #expect(well["signing-key"] == "ok")
                #expect(well["nodes"] == "ok")
            }
            try FileManager.default.removeItem(atPath: "\(ground.keys)/master-key-1")
            let (missing, _) = try await Self.findings([], environment: ground.environment)
            #expect(missing["master-keys"] == "fail")
            #expect(missing["signing-key"] == "fail")
            #expect(try await ground.command("master-key", "init").exit == .code(0))
            let (foreign, transcript) = try await Self.findings([], environment: ground.environment)
            #expect(foreign["master-keys"] == "ok")
            #expect(foreign["signing-key"] == "fail")
            #expect(transcript.output.contains("does not open"))
        }
    }

    @Test func `A database that is away fails at once, and its password is not told`() async throws {
        try await ServeGround.run { ground in
            let url = "postgresql://latchkey:s3cret-canary@127.0.0.1:\(FreePort.next())/latchkey"
            let start = ContinuousClock.now
            let (levels, transcript) = try await Self.findings(
                [], environment: ground.environment.merging(["LATCHKEY_DATABASE_URL": url]) { $1 })
            #expect(transcript.exit == .code(1))
            #expect(levels == ["master-keys": "ok", "database": "fail", "argon2": "warn"])
            #expect(!"\(transcript)".contains("canary"))
            #expect(ContinuousClock.now - start < .seconds(20))
        }
    }
}
