import Foundation
import JOSE
import Testing

/// `latchkey master-key`, and the ways in which a process gets its keys.
@Suite struct MasterKeyTests {
    private func rows(_ ground: ServeGround) async throws -> [JSONObject] {
        let listed = try await ground.command("master-key", "list", "--json")
        try #require(listed.exit == .code(0), "\(listed.errors)")
        return try JSONValue.parse(Array(listed.output.utf8)).array?.compactMap(\.object) ?? []
    }

    private func states(_ ground: ServeGround) async throws -> [String?] {
        try await rows(ground).map { $0["state"]?.string }
    }

    /// Asks until it holds or 20 seconds are over.
    private func soon(_ condition: () async throws -> Bool) async throws -> Bool {
        let limit = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < limit {
            if try await condition() { return true }
        }
        return false
    }

    @Test func `A rotation beside a node that serves comes into use without a restart, and the old one is kept`()
        async throws
    {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let site = nodes[0].site
                let alice = try await site.newUser("alice")
                let made = try await ground.command("master-key", "rotate", "--json")
                #expect(made.exit == .code(0), "\(made.errors)")
                let answer = try JSONValue.parse(Array(made.output.utf8)).object
                #expect(answer?["version"]?.int == 2)
                let file = "\(ground.keys)/master-key-2"
                #expect(answer?["file"]?.string == file)
                #expect(answer?["lacking"]?.array?.count == 1)
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                #expect(mode == 0o600)

                #expect(try await soon { try await states(ground) == ["superseded", "current"] })
                #expect(try await site.refresh(alice["refresh_token"]).status == 200)
                #expect(try await soon { try await rows(ground).map { $0["signing_keys"]?.int } == [0, 3] })
                let refused = try await ground.command("master-key", "retire", "1")
                #expect(refused.refused("Master key 1", "a moment ago"), "\(refused)")
                #expect(try await ground.command("master-key", "retire", "2").refused("rotate it first"))
                #expect(try await ground.command("master-key", "reseal", "--json").output == "[]\n")
            }
            // A node that lacks it does not start.
            try FileManager.default.removeItem(atPath: "\(ground.keys)/master-key-2")
            #expect(try await ground.refusal().refused("master key 2", "bring its file"))
        }
    }

    @Test func `The day one leaks is one command: nothing without --yes, and then everybody logs in again`()
        async throws
    {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let site = nodes[0].site
                let (alice, kids) = (try await site.newUser("alice"), try await site.keyIDs())
                let dry = try await ground.command("master-key", "compromised", "--reason", "found")
                #expect(dry.refused("nothing was done: say --yes"))
                #expect(dry.output.contains("1 sessions end"))
                #expect(dry.output.contains("3 signing keys"))
                #expect(try await site.keyIDs() == kids)
                #expect(try await states(ground) == ["current"])

                let done = try await ground.command("master-key", "compromised", "--reason", "found", "--yes")
                #expect(done.exit == .code(0), "\(done.errors)")
                #expect(done.outputLines.first?.contains("\(ground.keys)/master-key-2") == true)
                #expect(done.outputLines.last?.hasPrefix("done:") == true, "\(done.output)")
                #expect(try await site.refusesSoon(alice["access_token"]))
                #expect(try await site.refresh(alice["refresh_token"]).status == 400)
                #expect(try await site.logIn("alice").status == 200)
                #expect(try await soon { Set(try await site.keyIDs()).isDisjoint(with: kids) })
                #expect(try await states(ground) == ["compromised", "current"])
            }
        }
    }

    private func command(_ ground: ServeGround, redirecting text: String) -> [String] {
        ["/bin/sh", "-c", "exec \"$0\" \"$@\" \(text)"]
    }

    @Test func `A node takes its keys from a file descriptor`() async throws {
        try await ServeGround.run { ground in
            let port = FreePort.next()
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(port)"],
                prefix: command(ground, redirecting: "3<'\(ground.keys)/master-key-1'"),
                environment: ground.environment.merging([
                    "LATCHKEY_MASTER_KEY_FD": "3", "LATCHKEY_KEYS_DIR": "/nowhere",
                ]) { $1 })
            let node = ServeNode(process: process, site: Site(port: port))
            let result: Result<Void, any Error>
            do {
                _ = try await process.line(after: "ready: ")
                #expect(try await node.site.newUser("alice").status == 200)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            process.send(SIGKILL)
            try await process.end()
            try result.get()
            // The same key by its file.
            try await ground.withNodes(1) { nodes async throws in
                #expect(try await nodes[0].site.logIn("alice").status == 200)
            }
        }
    }

    @Test(arguments: [
        ("3<&-", "it is not open for reading"), ("3</dev/null", "nothing came from it"),
        ("3</etc/passwd", "line 1 holds no master key"), ("3</dev/zero", "more than 16384 bytes"),
    ])
    func `A descriptor without keys stops the start`(redirection: String, reason: String) async throws {
        try await ServeGround.run { ground in
            let transcript = try await LatchkeyBinary.run(
                ["serve", "--port", "\(FreePort.next())"], prefix: command(ground, redirecting: redirection),
                environment: ground.environment.merging(["LATCHKEY_MASTER_KEY_FD": "3"]) { $1 })
            #expect(transcript.refused("LATCHKEY_MASTER_KEY_FD is 3", reason), "\(transcript)")
        }
    }

    @Test func `A node takes its keys from systemd's credentials where no folder is set`() async throws {
        try await ServeGround.run { ground in
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o400], ofItemAtPath: "\(ground.keys)/master-key-1")
            let credentials = ["CREDENTIALS_DIRECTORY": ground.keys, "LATCHKEY_KEYS_DIR": ""]
            let environment = ground.environment.merging(credentials) { $1 }
            let listed = try await LatchkeyBinary.run(
                ["users", "list"], prefix: ["/usr/bin/env", "-C", "/tmp"], environment: environment)
            #expect(listed.exit == .code(0), "\(listed.errors)")
            let port = FreePort.next()
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(port)"], prefix: ["/usr/bin/env", "-C", "/tmp"], environment: environment)
            let ready = try? await process.line(after: "ready: ")
            process.send(SIGKILL)
            try await process.end()
            #expect(ready == "http://127.0.0.1:\(port)")
            // What holds none is not meant.
            let none = try await LatchkeyBinary.run(
                ["serve", "--port", "\(port)"], prefix: ["/usr/bin/env", "-C", "/tmp"],
                environment: environment.merging(["CREDENTIALS_DIRECTORY": "/usr"]) { $1 })
            #expect(none.refused("there is no folder keys", "master-key init"), "\(none)")
        }
    }

    @Test func `A folder that others may write to stops the start`() async throws {
        try await ServeGround.run { ground in
            try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: ground.keys)
            #expect(try await ground.refusal().refused(ground.keys, "chmod go-w"))
            try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: ground.keys)
        }
    }
}
