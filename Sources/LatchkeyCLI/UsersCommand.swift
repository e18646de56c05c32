import ArgumentParser
import Foundation
import JOSE
import Latchkey

struct UsersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "users", abstract: "The users.", discussion: "Example: latchkey users list",
        subcommands: [
            Create.self, List.self, Show.self, Disable.self, Enable.self, Delete.self, SetPassword.self, Grant.self,
            RevokeRole.self, Import.self,
        ])

    /// From standard input: an argument would stand in the process list.
    static func passwordFromInput() throws -> Password {
        // As bytes: `readLine` replaces what is no UTF-8, so that two passwords would become one.
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while bytes.count <= 4 * Password.longest, read(STDIN_FILENO, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
            bytes.append(byte)
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard !bytes.isEmpty else { throw Failure("no password came on standard input: type it, or pipe it in") }
        do { return try Password(setting: bytes) } catch { throw Failure(error.description) }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Makes a user; the password is read from standard input.",
            discussion: "Example: latchkey users create alice --role admin < password-file")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Argument var name: String
        @Option var email: String?
        @Option(help: "Granted at once; may be given several times.") var role: [String] = []
        @Flag(help: "No password: nobody can log in by one.") var noPassword = false

        func run() async throws {
            let username = try RegistrationRoutes.username(name)
            let password = noPassword ? nil : try UsersCommand.passwordFromInput()
            let email = try email.map { try EmailAddress($0) }
            let user = try await installation.withInstallation { installation in
                try await installation.users.register(
                    username, password, email: email, roles: role, origin: InstallationOptions.origin)
            }
            Output.one(user.json, as: output.form)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "The users in the order of their names.",
            discussion: "Example: latchkey users list --limit 20 --after alice")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Option var limit: Int64 = 1000
        @Option(help: "Begin after this name.") var after = ""

        func run() async throws {
            let users = try await installation.withInstallation { try await $0.users.list(after: after, limit: limit) }
            Output.rows(
                users.map(\.json), columns: ["username", "id", "status", "roles", "created_at"], as: output.form)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "One user.", discussion: "Example: latchkey users show alice --json")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "Name or id.") var name: String

        func run() async throws {
            let user = try await installation.withInstallation { try await $0.users.find(name) }
            Output.one(user.json, as: output.form)
        }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "disable", abstract: "Ends the user's sessions and lets no new one begin.",
            discussion: "Example: latchkey users disable alice --reason 'left'")

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "Name or id.") var name: String
        @Option(help: "Written to the audit log.") var reason: String?

        func run() async throws {
            try await installation.withInstallation { it in
                let user = try await it.users.find(name)
                _ = try await it.sessions.disable(user.id, reason: reason, origin: InstallationOptions.origin)
            }
            Output.line("disabled \(name)")
        }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "enable", abstract: "Lets the user log in again.",
            discussion: "Example: latchkey users enable alice")

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "Name or id.") var name: String

        func run() async throws {
            try await installation.withInstallation { it in
                try await it.users.enable(try await it.users.find(name).id, origin: InstallationOptions.origin)
            }
            Output.line("enabled \(name)")
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "delete", abstract: "Ends the user's sessions and forgets the user, for good.",
            discussion: """
                The audit log keeps what was done, by the user's id and with the name of the registration. To lock somebody \
                out for a while, disable them. To try again where the outcome is unknown, give the id: the name may be \
                another user's by then.

                Example: latchkey users delete alice --reason 'asked for it' --yes
                """)

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "Name or id.") var name: String
        @Option(help: "Written to the audit log.") var reason: String?
        @Flag(help: "Do it: it cannot be undone.") var yes = false

        func run() async throws {
            guard yes else { throw Failure("nothing was done: it cannot be undone, so say --yes to do it") }
            try await installation.withInstallation { it in
                _ = try await it.sessions.deleteUser(name, reason: reason, origin: InstallationOptions.origin)
            }
            Output.line("deleted \(name); every session ended")
        }
    }

    struct SetPassword: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set-password", abstract: "Sets the password, read from standard input; ends every session.",
            discussion: "Example: latchkey users set-password alice < password-file")

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "Name or id.") var name: String

        func run() async throws {
            let password = try UsersCommand.passwordFromInput()
            try await installation.withInstallation { it in
                let user = try await it.users.find(name)
                _ = try await it.sessions.setPassword(of: user.id, password, origin: InstallationOptions.origin)
            }
            Output.line("password of \(name) set; every session ended")
        }
    }

    struct Grant: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "grant", abstract: "Gives the user a role; it shows at the next refresh.",
            discussion: "Example: latchkey users grant alice admin")

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "Name or id.") var name: String
        @Argument var role: String

        func run() async throws {
            try await installation.withInstallation { it in
                try await it.users.grant(
                    role, to: try await it.users.find(name).id, origin: InstallationOptions.origin)
            }
            Output.line("granted \(role) to \(name)")
        }
    }

    struct RevokeRole: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke-role", abstract: "Takes a role away and ends the user's sessions.",
            discussion: "Example: latchkey users revoke-role alice admin")

        @OptionGroup var installation: InstallationOptions
        @Argument(help: "Name or id.") var name: String
        @Argument var role: String

        func run() async throws {
            try await installation.withInstallation { it in
                let user = try await it.users.find(name)
                _ = try await it.sessions.revokeRole(role, from: user.id, origin: InstallationOptions.origin)
            }
            Output.line("took \(role) from \(name); every session ended")
        }
    }
}
