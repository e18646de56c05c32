import ArgumentParser
import Foundation
import JOSE
import Latchkey

extension KeysCommand {
    struct Compromise: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "compromise",
            abstract: "Lets another key sign at once and refuses all that this one has signed, everywhere, for good.",
            discussion: """
                Example: latchkey keys compromise --reason 'found in a backup' -- KID

                Says first what it would do, and does it where that is confirmed: by --yes, or at the terminal. Sessions \
                stay; their clients recover by one refresh. A mistake is taken back by `latchkey keys restore`.
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        // One thumbprint in 64 begins with a dash.
        @Argument(help: ArgumentHelp("The key; one that begins with a dash comes after `--`.", valueName: "KID"))
        var kid: String
        @Option(help: "Written to the audit log.") var reason: String
        @Flag(help: "Do it without asking.") var yes = false

        func run() async throws {
            let answer = try await installation.withInstallation { it in
                let administration = KeyCompromiseAdministration(it.compromises, sessions: it.sessions)
                if !yes {
                    try Self.confirm(try await administration.foresee(kid), as: output.form)
                }
                return try await administration.compromise(kid, reason: reason, origin: InstallationOptions.origin)
            }
            Output.one(answer.answer, as: output.form)
        }

        /// Says what would be done, and throws where nobody says yes: a script that forgot `--yes` must not take silence for
        /// success.
        private static func confirm(_ foresight: JSONValue, as form: Output.Form) throws {
            switch form {
            case .json: Output.one(foresight, as: .json)
            case .table:
                for effect in foresight.object?["effects"]?.strings ?? [] { Output.line(effect) }
            }
            guard isatty(STDIN_FILENO) == 1 else { throw Failure("nothing was done: say --yes to do it") }
            Output.complain("Type yes to declare it compromised:")
            guard readLine(strippingNewline: true) == "yes" else { throw Failure("nothing was done") }
        }
    }

    struct Restore: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore", abstract: "Takes back that a key was declared compromised.",
            discussion: """
                Example: latchkey keys restore --reason 'the backup was encrypted' -- KID

                What the key signed is accepted again until it expires. It signs no more, unless it never did: then it \
                stands in the JWKS anew until it is ripe.
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: ArgumentHelp("The key; one that begins with a dash comes after `--`.", valueName: "KID"))
        var kid: String
        @Option(help: "Written to the audit log.") var reason: String?

        func run() async throws {
            let answer = try await installation.withInstallation { it in
                try await KeyCompromiseAdministration(it.compromises, sessions: it.sessions)
                    .restore(kid, reason: reason, origin: InstallationOptions.origin)
            }
            Output.one(answer.answer, as: output.form)
        }
    }
}
