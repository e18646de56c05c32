import Foundation
import Glibc
import JOSE
import Testing

/// The commands that administer an installation, beside its running node; each test has users of its own.
@Suite(.sharedDev) struct AdministrationTests {
    let dev: Dev

    init() throws {
        dev = try SharedDev.dev
    }

    /// The actor that the audit log names for a command.
    private static let actor = getpwuid(geteuid()).map { "cli:" + String(cString: $0.pointee.pw_name) } ?? ""

    /// A user made by the command, whose password came on standard input.
    private func create(_ name: String, _ options: String...) async throws -> JSONObject {
        let transcript = try await LatchkeyBinary.run(
            ["users", "create", name, "--json", "--data", dev.folder.path] + options, input: "correct horse\n")
        #expect(transcript.exit == .code(0), "\(transcript.errors)")
        return try #require(JSONValue.parse(Array(transcript.output.utf8)).object)
    }

    /// A command that must succeed.
    private func command(_ arguments: String..., input: String = "") async throws {
        let transcript = try await LatchkeyBinary.run(arguments + ["--data", dev.folder.path], input: input)
        #expect(transcript.exit == .code(0), "\(arguments): \(transcript.errors)")
    }

    /// The newest audit record of the target.
    private func audit(_ target: String) async throws -> JSONObject {
        let records = try await dev.json("audit", "--target", target, "--limit", "1")
        return try #require(records?.array?.first?.object)
    }

    @Test func `Every command that prints a table prints JSON too`() async throws {
        let client = try #require(try await dev.json("clients", "create", "made")?.object?["client_id"]?.string)
        let arguments: [[String]: [String]] = [
            ["clients", "create"]: ["json"], ["clients", "show"]: [client], ["clients", "update"]: [client],
            ["clients", "rotate-secret"]: [client], ["users", "show"]: ["admin"],
            ["users", "create"]: ["json-user", "--no-password"],
            ["sessions", "list"]: ["--user", "admin"],
        ]
        let commands = try await CommandTree.read().commands.filter { $0.flags.contains("json") }
        #expect(commands.map(\.path).contains(["audit"]))
        #expect(commands.count >= 8)
        // Rotating has a test of its own, which needs the ripe standbys; so have compromised and imported keys.
        let apart = [
            ["keys", "rotate"], ["keys", "compromise"], ["keys", "restore"], ["keys", "import"],
            ["master-key", "rotate"], ["master-key", "compromised"],
        ]
        for command in commands where !apart.contains(command.path) {
            let transcript = try await LatchkeyBinary.run(
                command.path + (arguments[command.path] ?? []) + ["--json", "--data", dev.folder.path])
            #expect(transcript.exit == .code(0), "\(command.testDescription): \(transcript.errors)")
            #expect(throws: Never.self, "\(command.testDescription)") {
                try JSONValue.parse(Array(transcript.output.utf8))
            }
        }
    }

    @Test(arguments: [
        ["users", "show", "nobody"], ["users", "disable", "nobody"], ["users", "enable", "nobody"],
        ["users", "set-password", "nobody"], ["users", "grant", "nobody", "admin"],
        ["users", "revoke-role", "nobody", "admin"], ["users", "grant", "admin", "no-such-role"],
        ["users", "create", "admin"], ["users", "create", "Über"], ["users", "create", "ada", "--email", "nowhere"],
        ["sessions", "list", "--user", "nobody"], ["sessions", "revoke", "nobody"],
        ["sessions", "revoke", "019ab3de-0000-7000-8000-000000000000"],
        ["revoke", "--user", "nobody", "--reason", "why"], ["revoke", "--token", "--reason", "why"],
        ["roles", "delete", "no-such-role"], ["roles", "set-scopes", "no-such-role", "--scope", "a"],
        ["roles", "create", "admin"], ["roles", "create", "no spaces"], ["roles", "create", "x", "--scope", "a b"],
        ["clients", "show", "nobody"], ["clients", "enable", "nobody"], ["clients", "disable", "nobody"],
        ["clients", "disable", "first-party"], ["clients", "update", "first-party", "--name", "x"],
        ["clients", "rotate-secret", "nobody"], ["clients", "rotate-secret", "first-party"],
        ["clients", "create", ""], ["clients", "create", "x", "--auth-method", "none"],
        ["clients", "create", "x", "--grant-type", "password"], ["clients", "create", "x", "--scope", "account"],
        ["clients", "create", "x", "--grant-type", "authorization_code", "--redirect-uri", "http://evil.example/"],
        ["revoke", "--client", "nobody", "--reason", "why"],
        ["keys", "restore", "no-such-key"], ["keys", "compromise", "no-such-key", "--reason", "why"],
        ["keys", "compromise", "no-such-key", "--reason", "why", "--yes"],
        ["keys", "rotate", "--from", "no-such-key"], ["audit", "--since", "yesterday"], ["master-key", "init"],
    ])
    func `What cannot be done is refused in one line, with status 1`(arguments: [String]) async throws {
        let transcript = try await LatchkeyBinary.run(
            arguments + ["--data", dev.folder.path], input: "correct horse\n")
        #expect(transcript.exit == .code(1))
        #expect(transcript.output == "")
        #expect(transcript.errorLines.count == 1, "\(transcript.errors)")
        #expect(transcript.errors.hasPrefix("latchkey: "))
    }

    @Test(arguments: ["", "\n", "short\n", "with a bell \u{7}\n"])
    func `A password that cannot be is refused and makes no user`(input: String) async throws {
        let name = "weak\(input.utf8.count)"
        let transcript = try await dev.command("users", "create", name, input: input)
        #expect(transcript.exit == .code(1))
        #expect(transcript.errorLines.count == 1, "\(transcript.errors)")
        #expect(try await dev.command("users", "show", name).exit == .code(1))
    }

    @Test func `A user is made, shown and listed, and logs in with the password from standard input`() async throws {
        let made = try await create("carol", "--email", "carol@example.org", "--role", "admin")
        #expect(made["username"]?.string == "carol")
        #expect(made["email"]?.string == "carol@example.org")
        #expect(made["roles"]?.strings == ["admin"])
        #expect(try await dev.json("users", "show", "carol")?.object == made)
        #expect(try await dev.json("users", "show", made["id"]?.string ?? "")?.object == made)
        let names = try await dev.json("users", "list")?.array?.compactMap { $0.object?["username"]?.string }
        #expect(names?.contains("carol") == true)
        #expect(names == names?.sorted())
        let table = try await dev.command("users", "list").outputLines
        #expect(table.first?.hasPrefix("USERNAME") == true)
        #expect(table.contains { $0.hasPrefix("carol ") })

        #expect(try await dev.site.logIn("carol").status == 200)
        let record = try await audit("user:\(made["id"]?.string ?? "")")
        #expect(record["actor"]?.string == Self.actor)
        #expect(["user.registered", "role.granted"].contains(record["action"]?.string))
    }

    @Test func `A disabled user's session is refused and no login opens one until enabled`() async throws {
        let id = try await create("dave")["id"]?.string ?? ""
        let login = try await dev.site.logIn("dave")
        #expect(try await dev.site.account(login["access_token"]) == 200)
        try await command("users", "disable", "dave", "--reason", "left")
        #expect(try await dev.site.refusesSoon(login["access_token"]))
        #expect(try await dev.site.refresh(login["refresh_token"])["error"] == "invalid_grant")
        #expect(try await dev.site.logIn("dave").status == 401)
        let record = try await audit("user:\(id)")
        #expect(record["action"]?.string == "user.disabled")
        #expect(record["actor"]?.string == Self.actor)
        #expect(record["detail"]?.object?["reason"]?.string == "left")

        try await command("users", "enable", "dave")
        #expect(try await dev.site.logIn("dave").status == 200)
        #expect(try await dev.site.account(login["access_token"]) == 401)
        #expect(try await audit("user:\(id)")["action"]?.string == "user.enabled")
    }

    @Test func `A user is deleted once that is confirmed, for good`() async throws {
        let id = try await create("david")["id"]?.string ?? ""
        let login = try await dev.site.logIn("david")
        let asked = try await dev.command("users", "delete", "david")
        #expect(asked.exit == .code(1))
        #expect(asked.errors.contains("--yes"))
        #expect(try await dev.site.account(login["access_token"]) == 200)
        try await command("users", "delete", "david", "--reason", "asked for it", "--yes")
        #expect(try await dev.site.refusesSoon(login["access_token"]))
        #expect(try await dev.site.refresh(login["refresh_token"])["error"] == "invalid_grant")
        #expect(try await dev.site.logIn("david").status == 401)
        #expect(try await dev.command("users", "delete", "david", "--yes").exit == .code(1))
        let record = try await audit("user:\(id)")
        #expect(record["action"]?.string == "user.deleted")
        #expect(record["detail"]?.object?["reason"]?.string == "asked for it")
    }

    @Test func `A password that is set opens, the old one does not, and every session has ended`() async throws {
        let id = try await create("erin")["id"]?.string ?? ""
        let login = try await dev.site.logIn("erin")
        try await command("users", "set-password", "erin", input: "battery staple\n")
        #expect(try await dev.site.refusesSoon(login["access_token"]))
        #expect(try await dev.site.logIn("erin").status == 401)
        #expect(try await dev.site.logIn("erin", "battery staple").status == 200)
        let record = try await audit("user:\(id)")
        #expect(record["action"]?.string == "user.password-set")
        #expect(record["actor"]?.string == Self.actor)
    }

    @Test func `A role is made, shows at the next refresh, and taken away ends the session`() async throws {
        _ = try await create("frank")
        try await command("roles", "create", "reader", "--scope", "users:read", "--scope", "audit:read")
        let login = try await dev.site.logIn("frank")
        #expect(try await dev.site.get("/admin/users", bearer: login["access_token"]).status == 403)
        try await command("users", "grant", "frank", "reader")
        let granted = try await dev.site.refresh(login["refresh_token"])
        #expect(try await dev.site.get("/admin/users", bearer: granted["access_token"]).status == 200)
        let reader = try await dev.json("roles", "list")?.array?.first { $0.object?["name"]?.string == "reader" }
        #expect(reader?.object?["scopes"]?.strings?.sorted() == ["audit:read", "users:read"])
        #expect(reader?.object?["holders"]?.int == 1)

        try await command("users", "revoke-role", "frank", "reader")
        #expect(try await dev.site.refusesSoon(granted["access_token"]))
        let fresh = try await dev.site.logIn("frank")
        #expect(try await dev.site.get("/admin/users", bearer: fresh["access_token"]).status == 403)
        #expect(try await dev.site.account(fresh["access_token"]) == 200)

        try await command("users", "grant", "frank", "reader")
        let holder = try await dev.site.logIn("frank")
        try await command("roles", "set-scopes", "reader", "--scope", "users:read")
        #expect(try await dev.site.refusesSoon(holder["access_token"]), "a narrowed role ends its holders' sessions")
        let narrowed = try await dev.site.logIn("frank")
        try await command("roles", "delete", "reader")
        #expect(try await dev.site.refusesSoon(narrowed["access_token"]))
        let record = try await audit("role:reader")
        #expect(record["action"]?.string == "role.deleted")
        #expect(record["actor"]?.string == Self.actor)
    }

    @Test func `Sessions are listed by user, and one that is revoked is refused while the others live`() async throws {
        _ = try await create("grace")
        let (one, other) = (try await dev.site.logIn("grace"), try await dev.site.logIn("grace"))
        let listed = try await dev.json("sessions", "list", "--user", "grace")?.array
        #expect(
            Set(listed?.compactMap { $0.object?["sid"]?.string } ?? []) == [one["session_id"], other["session_id"]])
        try await command("sessions", "revoke", one["session_id"], "--reason", "stolen")
        #expect(try await dev.site.refusesSoon(one["access_token"]))
        #expect(try await dev.site.refresh(one["refresh_token"])["error"] == "invalid_grant")
        #expect(try await dev.site.account(other["access_token"]) == 200)
        let record = try await audit("session:\(one["session_id"])")
        #expect(record["action"]?.string == "session.revoked")
        #expect(record["actor"]?.string == Self.actor)
        #expect(record["detail"]?.object?["reason"]?.string == "stolen")
    }

    @Test(arguments: ["access_token", "refresh_token"])
    func `A token from standard input is revoked`(kind: String) async throws {
        let name = "heidi-\(kind.replacing("_", with: "-"))"
        _ = try await create(name)
        let login = try await dev.site.logIn(name)
        try await command("revoke", "--token", "--reason", "leaked", input: login[kind] + "\n")
        #expect(try await dev.site.refusesSoon(login["access_token"]))
        let damaged = String(login[kind].dropLast(6)) + "AAAAAA"
        let transcript = try await dev.command("revoke", "--token", "--reason", "leaked", input: damaged + "\n")
        #expect(transcript.refused("no token of this installation"), "\(transcript)")
        #expect(transcript.errors.contains(damaged) == false)
    }

    @Test func `All sessions of a user are revoked, and a later login lives`() async throws {
        _ = try await create("ivan")
        let logins = [try await dev.site.logIn("ivan"), try await dev.site.logIn("ivan")]
        try await command("revoke", "--user", "ivan", "--reason", "laptop stolen")
        for login in logins { #expect(try await dev.site.refusesSoon(login["access_token"])) }
        let later = try await dev.site.logIn("ivan")
        #expect(try await dev.site.account(later["access_token"]) == 200)
    }

    @Test func `A rotation asked for twice is one, and without a ripe standby it is said when there is one`()
        async throws
    {
        func signer() async throws -> String {
            let keys = try await dev.json("keys", "list")?.array?.compactMap(\.object) ?? []
            return try #require(keys.first { $0["state"]?.string == "active" }?["kid"]?.string)
        }
        let first = try await signer()
        // Both at once, then once more: `--from` names what they rotate away from.
        async let one = dev.json("keys", "rotate", "--from", first, "--reason", "quarterly")
        async let other = dev.json("keys", "rotate", "--from", first)
        let answers = try await [one, other, dev.json("keys", "rotate", "--from", first)]
        let second = try #require(answers[0]?.object?["kid"]?.string)
        #expect(second != first)
        for answer in answers { #expect(answer?.object?["kid"]?.string == second) }
        let record = try await audit("key:\(second)")
        #expect(record["action"]?.string == "key.rotated")
        #expect(record["actor"]?.string == Self.actor)

        let third = try #require(try await dev.json("keys", "rotate", "--from", second)?.object?["kid"]?.string)
        #expect([first, second].contains(third) == false)
        let transcript = try await dev.command("keys", "rotate", "--from", third)
        #expect(transcript.refused("Rotate again at 20"), "\(transcript)")
        let keys = try await dev.json("keys", "list")?.array?.compactMap(\.object) ?? []
        #expect(keys.count == 5)
        #expect(try await Set(dev.site.keyIDs()).isSuperset(of: [first, second, third]))
    }

    @Test func `The audit log is read by actor and by time`() async throws {
        _ = try await create("judy")
        let all = try await dev.json("audit", "--actor", Self.actor)?.array ?? []
        #expect(all.isEmpty == false)
        #expect(all.allSatisfy { $0.object?["actor"]?.string == Self.actor })
        #expect(try await dev.json("audit", "--actor", "cli:nobody-like-this") == [])
        #expect(try await dev.json("audit", "--since", "2099-01-01T00:00:00Z") == [])
        let table = try await dev.command("audit", "--limit", "3").outputLines
        #expect(table.count == 4)
    }
}

/// What ends everybody's session needs an installation of its own.
@Suite struct RevokeAllTests {
    @Test func `Revoking all refuses everybody's tokens, and whoever logs in again lives`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev in
                let tokens = [
                    try await dev.administrator(), try await dev.site.newUser("ada")["access_token"],
                    try await dev.site.newUser("eve")["access_token"],
                ]
                let transcript = try await dev.command("revoke", "--all", "--reason", "backup restored")
                #expect(transcript.exit == .code(0), "\(transcript.errors)")
                for token in tokens { #expect(try await dev.site.refusesSoon(token)) }
                #expect(try await dev.site.account(dev.administrator()) == 200)
            }
        }
    }
}
