import ArgumentParser
import Latchkey

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "The signing keys and their life.",
        discussion: "Example: latchkey keys list", subcommands: [List.self, Rotate.self, Compromise.self, Restore.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "Every signing key, its state and its times.",
            discussion: "Example: latchkey keys list --json")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let rows = try await installation.withInstallation { installation in
                try await KeyAdministration(installation.signingKeys, policy: installation.settings.keys).list()
            }
            Output.rows(
                rows, columns: ["kid", "alg", "state", "ripe_at", "activates_at", "retires_at", "removed_at"],
                as: output.form)
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate", abstract: "Lets a ripe standby sign, two seconds from now, and publishes a new one.",
            discussion: "Example: latchkey keys rotate --reason 'quarterly'")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        // Unconditional: one thumbprint in 64 begins with a dash.
        @Option(
            parsing: .unconditional,
            help: ArgumentHelp("The key to rotate away from; the one that signs now.", valueName: "KID"))
        var from: String?

        @Option(help: "Written to the audit log.")
        var reason: String?

        func run() async throws {
            let answer = try await installation.withInstallation { installation in
                try await KeyAdministration(installation.signingKeys, policy: installation.settings.keys)
                    .rotate(from: from, reason: reason, origin: InstallationOptions.origin)
            }
            Output.one(answer, as: output.form)
        }
    }
}
