import JOSE
import Testing

/// What holds for every command, whatever it does.
@Suite struct CommandLineTests {
    @Test func `Every command explains itself with an example, and status 0`() async throws {
        let tree = try await CommandTree.read()
        #expect(tree.commands.count >= 30)
        for command in tree.commands {
            let transcript = try await LatchkeyBinary.run(command.path + ["--help"])
            #expect(transcript.exit == .code(0), "\(command.testDescription)")
            #expect(transcript.errors == "", "\(command.testDescription)")
            #expect(transcript.output.contains("Example"), "\(command.testDescription) shows no example")
            #expect(transcript.output.contains("USAGE: \(command.testDescription)"), "\(command.testDescription)")
        }
    }

    @Test func `No command takes a secret as an argument, which the process list would show`() async throws {
        let tree = try await CommandTree.read()
        for command in tree.commands {
            for name in command.values {
                for secret in ["password", "secret", "token", "phc", "hash"] {
                    #expect(name.lowercased().contains(secret) == false, "\(command.testDescription) --\(name)")
                }
            }
        }
        // Flags that say where the secret is read.
        #expect(tree.commands.first { $0.path == ["revoke"] }?.flags.contains("token") == true)
    }

    @Test(arguments: [
        ["bogus"], ["--bogus"], ["users", "bogus"], ["users", "show"], ["users", "show", "ada", "eve"],
        ["users", "create"], ["users", "create", "ada", "--password", "correct horse"], ["users", "grant", "ada"],
        ["users", "set-password", "ada", "correct horse"], ["users", "list", "--limit", "many"], ["sessions", "list"],
        ["sessions", "revoke"], ["roles", "create"], ["keys", "rotate", "--from"], ["keys", "rotate", "kid"],
        ["keys", "compromise", "kid"], ["keys", "compromise", "--reason", "why"], ["keys", "restore"],
        ["keys", "rotate", "--timeout", "5"], ["keys", "rotate", "--wait-for-verifiers", "--timeout", "soon"],
        ["keys", "rotate", "--wait-for-verifiers", "--timeout", "86401"],
        ["revoke", "--reason", "why"], ["revoke", "--all"], ["revoke", "--all", "--user", "ada", "--reason", "why"],
        ["revoke", "--token", "lkr1.AAAA", "--reason", "why"], ["dev", "--port", "eighty"], ["dev", "installation"],
        ["clients", "create"], ["clients", "create", "x", "--secret", "y"], ["clients", "show"],
        ["clients", "rotate-secret", "x", "--expire-old-after", "soon"],
        ["clients", "update", "x", "--scope", "a", "--no-scope"], ["serve", "--port"], ["migrate", "--force"],
        ["master-key", "init", "extra"], ["master-key", "retire"], ["master-key", "retire", "one"],
        ["master-key", "retire", "40000"], ["master-key", "compromised"], ["master-key", "compromised", "--reason"],
        ["audit", "--limit"],
    ])
    func `Wrong usage ends with status 2, says how it is meant, and does nothing`(arguments: [String]) async throws {
        let transcript = try await LatchkeyBinary.run(arguments)
        #expect(transcript.exit == .code(2))
        #expect(transcript.output == "")
        #expect(transcript.errors.contains("Usage: latchkey"), "\(transcript.errors)")
    }

    @Test(arguments: [[], ["users"], ["clients"], ["keys"], ["roles"], ["sessions"], ["master-key"]])
    func `A group of commands by itself lists them`(arguments: [String]) async throws {
        let transcript = try await LatchkeyBinary.run(arguments)
        #expect(transcript.exit == .code(0))
        #expect(transcript.output.contains("SUBCOMMANDS:"))
    }

    @Test func `The version is printed`() async throws {
        let transcript = try await LatchkeyBinary.run(["--version"])
        #expect(transcript.exit == .code(0))
        #expect(transcript.output.split(separator: ".").count == 3)
    }

    @Test func `Which installation is meant is said by --data, then the environment, then the folder here`()
        async throws
    {
        try await Dev.withFolder(named: ".latchkey") { here in
            try await Dev.run(in: here) { dev in
                let inHome = ["/usr/bin/env", "-C", here.home]
                let unreachable = ["LATCHKEY_DATABASE_URL": "postgresql://latchkey@127.0.0.1:\(FreePort.next())/x"]
                let arguments = ["users", "list", "--json"]
                let found = try await LatchkeyBinary.run(arguments, prefix: inHome)
                #expect(found.exit == .code(0), "\(found.errors)")
                #expect(found.output.contains("\"admin\""))
                let named = try await LatchkeyBinary.run(
                    arguments + ["--data", here.path], prefix: ["/usr/bin/env", "-C", "/"], environment: unreachable)
                #expect(named.output == found.output)
                let fromEnvironment = try await LatchkeyBinary.run(
                    arguments, prefix: inHome,
                    environment: unreachable.merging(["LATCHKEY_KEYS_DIR": "\(here.path)/keys"]) { $1 })
                #expect(fromEnvironment.refused("is the database running"), "\(fromEnvironment)")
                let nothing = try await LatchkeyBinary.run(arguments, prefix: ["/usr/bin/env", "-C", "/"])
                #expect(nothing.exit == .code(1))
                #expect(nothing.errors.contains("LATCHKEY_DATABASE_URL is not set"))
            }
        }
    }
}
