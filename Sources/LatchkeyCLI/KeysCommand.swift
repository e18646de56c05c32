import ArgumentParser
import Latchkey

struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "The signing keys and their life.",
        discussion: "Example: latchkey keys list",
        subcommands: [List.self, Rotate.self, Verifiers.self, Compromise.self, Restore.self, Import.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "Every signing key, its state, its times and its use.",
            discussion: "Example: latchkey keys list --json")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let rows = try await installation.withInstallation { installation in
                try await KeysCommand.administration(installation).list()
            }
            Output.rows(
                rows,
                columns: [
                    "kid", "alg", "state", "ripe_at", "activates_at", "retires_at", "removed_at", "tokens_alive",
                    "unknown_to",
                ],
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

        @Flag(help: "Wait until every verifier that names itself holds the next key.")
        var waitForVerifiers = false

        @Option(help: ArgumentHelp("How long to wait for them (600).", valueName: "SECONDS"))
        var timeout: Int?

        func validate() throws {
            guard timeout == nil || waitForVerifiers else {
                throw ValidationError("--timeout says how long --wait-for-verifiers waits: give both.")
            }
            guard timeout.map({ (0...86_400).contains($0) }) ?? true else {
                throw ValidationError("--timeout is 0 to 86400 seconds.")
            }
        }

        func run() async throws {
            let answer = try await installation.withInstallation { installation in
                let administration = KeysCommand.administration(installation)
                guard waitForVerifiers else {
                    return try await administration.rotate(
                        from: from, reason: reason, origin: InstallationOptions.origin)
                }
                return try await PatientRotation(
                    administration: administration, from: from, reason: reason, timeout: timeout ?? 600
                ).run()
            }
            Output.one(answer, as: output.form)
        }
    }

    fileprivate static func administration(_ it: Installation) -> KeyAdministration {
        KeyAdministration(it.signingKeys, use: it.keyUse)
    }
}
