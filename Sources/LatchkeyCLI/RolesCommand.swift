import ArgumentParser
import Latchkey

struct RolesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "roles", abstract: "What a role may do.", discussion: "Example: latchkey roles list",
        subcommands: [List.self, Create.self, SetScopes.self, Delete.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "Every role with its scopes.", discussion: "Example: latchkey roles list")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let roles = try await installation.withInstallation { try await $0.roles.list() }
            Output.rows(roles.map(\.json), columns: ["name", "holders", "scopes"], as: output.form)
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Makes a role.",
            discussion: "Example: latchkey roles create support --scope users:read --scope sessions:revoke")

        @OptionGroup var installation: InstallationOptions
        @Argument var name: String
        @Option var scope: [String] = []

        func run() async throws {
            _ = try await installation.withInstallation {
                try await $0.roles.create(name, scopes: scope, origin: InstallationOptions.origin)
            }
            Output.line("made role \(name)")
        }
    }

    struct SetScopes: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set-scopes",
            abstract: "Gives a role these scopes; where it loses one, its holders' sessions end.",
            discussion: "Example: latchkey roles set-scopes support --scope users:read")

        @OptionGroup var installation: InstallationOptions
        @Argument var name: String
        @Option var scope: [String] = []

        func run() async throws {
            try await installation.withInstallation {
                _ = try await $0.sessions.setScopes(scope, ofRole: name, origin: InstallationOptions.origin)
            }
            Output.line("changed role \(name)")
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "delete", abstract: "Deletes a role and ends its holders' sessions.",
            discussion: "Example: latchkey roles delete support")

        @OptionGroup var installation: InstallationOptions
        @Argument var name: String

        func run() async throws {
            try await installation.withInstallation {
                _ = try await $0.sessions.deleteRole(name, origin: InstallationOptions.origin)
            }
            Output.line("deleted role \(name)")
        }
    }
}
