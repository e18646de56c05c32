import Foundation
import Postgres
import Testing

/// When `latchkey serve` does not start: status 1, and what to do.
@Suite struct RefusedStartTests {
    @Test func `A database that was never migrated is refused with the command that mends it`() async throws {
        try await ServeGround.run(migrations: []) { ground in
            let transcript = try await ground.refusal()
            #expect(transcript.refused("0001_create_installation", "run `latchkey migrate`"), "\(transcript)")
        }
    }

    @Test(arguments: [
        ("DELETE FROM migrations WHERE name LIKE '0006%'", "0006_create_audit_events", "run `latchkey migrate`"),
        ("INSERT INTO migrations VALUES ('9999_from_the_future', '\\x00')", "9999_from_the_future", "newer latchkey"),
        ("UPDATE migrations SET checksum = '\\x00' WHERE name LIKE '0001%'", "0001_create_installation", "differs"),
    ])
    func `A database of another version is refused by every command, and what to do is said`(
        change: String, name: String, advice: String
    ) async throws {
        try await ServeGround.run { ground in
            try await ground.withDatabase { _ = try await $0.query(Query(stringLiteral: change)) }
            let transcripts = [
                try await ground.refusal(), try await ground.command("users", "list"),
                try await ground.command("migrate", "--status"),
            ]
            for transcript in transcripts { #expect(transcript.refused(name, advice), "\(transcript)") }
        }
    }

    @Test func `Every wrong setting is told at once, by name, value and what is allowed`() async throws {
        let transcript = try await LatchkeyBinary.run(
            ["serve"],
            environment: [
                "LATCHKEY_ISSUER": "http://id.example/", "LATCHKEY_PORT": "70000", "LATCHKEY_ACCESS_TOKEN_TTL": "+5",
                "LATCHKEY_SIGNING_ALGORITHM": "none", "LATCHKEY_REGISTRATION": "maybe", "LATCHKEY_LOG_LEVEL": "loud",
                "LATCHKEY_KEY_PUBLISH_LEAD": "60", "LATCHKEY_REFRESH_GRACE": "١٢",
            ])
        #expect(transcript.exit == .code(1))
        #expect(transcript.output == "")
        for expected in [
            "LATCHKEY_DATABASE_URL is not set", "LATCHKEY_ISSUER is http://id.example/", "LATCHKEY_PORT is 70000",
            "65535", "LATCHKEY_ACCESS_TOKEN_TTL is +5", "LATCHKEY_SIGNING_ALGORITHM is none", "RS256",
            "LATCHKEY_REGISTRATION is maybe", "open", "LATCHKEY_LOG_LEVEL is loud", "LATCHKEY_KEY_PUBLISH_LEAD is 60",
            "LATCHKEY_REFRESH_GRACE is ١٢",
        ] {
            #expect(transcript.errors.contains(expected), "\(expected) is missing in \(transcript.errors)")
        }
    }

    @Test func `A database password is never printed`() async throws {
        try await ServeGround.run { ground in
            let url = "postgresql://latchkey:s3cret-canary@127.0.0.1:\(FreePort.next())/latchkey"
            let transcript = try await ground.refusal(["LATCHKEY_DATABASE_URL": url, "LATCHKEY_LOG_LEVEL": "trace"])
            #expect(transcript.exit == .code(1))
            #expect(transcript.errors.contains("LATCHKEY_DATABASE_URL"))
            #expect(transcript.errors.contains("canary") == false)
        }
    }

    @Test(arguments: [
        ["PGHOST": "a.example,b.example"], ["PGHOSTADDR": "192.0.2.1,192.0.2.2"], ["PGSERVICE": "two"],
        ["LATCHKEY_DATABASE_URL": "service=two"],
    ])
    func `Several hosts are refused until it is said what a failover may lose, libpq's environment included`(
        variables: [String: String]
    ) async throws {
        try await ServeGround.run { ground in
            let file = "\(ground.keys)/services"
            try Data("[two]\nhost=a.example,b.example\n".utf8).write(to: URL(fileURLWithPath: file))
            let environment = ["LATCHKEY_DATABASE_URL": "dbname=latchkey", "PGSERVICEFILE": file]
                .merging(variables) { $1 }
            let transcript = try await ground.refusal(environment)
            #expect(transcript.exit == .code(1))
            for part in ["LATCHKEY_FAILOVER is not set", "synchronous", "lossy"] {
                #expect(transcript.errors.contains(part), "\(transcript)")
            }
        }
    }

    @Test func `Master keys that are missing are refused with the command that makes them`() async throws {
        try await ServeGround.run { ground in
            let missing = try await ground.refusal(["LATCHKEY_KEYS_DIR": "\(ground.keys)/none"])
            #expect(missing.refused("\(ground.keys)/none", "latchkey master-key init"), "\(missing)")
            try FileManager.default.removeItem(atPath: "\(ground.keys)/master-key-1")
            #expect(try await ground.refusal().refused(ground.keys, "latchkey master-key init"))
        }
    }

    @Test(arguments: [0o604, 0o640, 0o666])
    func `A master key that others may read is refused`(mode: Int) async throws {
        try await ServeGround.run { ground in
            let file = "\(ground.keys)/master-key-1"
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
            let transcript = try await ground.refusal()
            #expect(transcript.refused(file, "chmod 600"), "\(transcript)")
        }
    }

    @Test func `The master key of another installation is refused`() async throws {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { _ in }
            try FileManager.default.removeItem(atPath: "\(ground.keys)/master-key-1")
            #expect(try await ground.command("master-key", "init").exit == .code(0))
            let transcript = try await ground.refusal()
            #expect(transcript.exit == .code(1))
            #expect(transcript.errors.contains("LATCHKEY_KEYS_DIR"), "\(transcript)")
        }
    }

    @Test func `A master key is not made where one stands`() async throws {
        try await ServeGround.run { ground async throws in
            let before = FileManager.default.contents(atPath: "\(ground.keys)/master-key-1")
            #expect(try await ground.command("master-key", "init").refused("nothing was changed"))
            #expect(FileManager.default.contents(atPath: "\(ground.keys)/master-key-1") == before)
        }
    }

    @Test func `A database that is not there is refused within seconds`() async throws {
        try await ServeGround.run { ground in
            let url = "postgresql://latchkey@127.0.0.1:\(FreePort.next())/latchkey"
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(FreePort.next())"],
                environment: ground.environment.merging(["LATCHKEY_DATABASE_URL": url]) { $1 })
            #expect(try await process.end(within: 15).refused("is the database running"))
        }
    }

    @Test func `A DIR that no dev has made is refused`() async throws {
        try await Dev.withFolder { folder in
            for arguments in [["serve"], ["users", "list"], ["migrate"]] {
                let transcript = try await LatchkeyBinary.run(arguments + ["--data", folder.path])
                #expect(transcript.refused(folder.path, "--data"), "\(transcript)")
            }
        }
    }
}
