import ArgumentParser
import JOSE
import Latchkey

struct SessionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "The sessions.", discussion: "Example: latchkey sessions list --user alice",
        subcommands: [List.self, Revoke.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "A user's living sessions.",
            discussion: "Example: latchkey sessions list --user alice")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "Name or id.") var user: String

        func run() async throws {
            let sessions = try await installation.withInstallation { it in
                try await it.sessions.list(of: try await it.users.find(user).id, after: nil, limit: 1000)
            }
            Output.rows(
                sessions.map { $0.json() }, columns: ["sid", "client_id", "opened_at", "refreshed_at", "idle_until"],
                as: output.form)
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke", abstract: "Ends one session.",
            discussion: "Example: latchkey sessions revoke 019ab3de-0000-7000-8000-000000000000")

        @OptionGroup var installation: InstallationOptions
        @Argument var sid: String
        @Option(help: "Written to the audit log.") var reason: String?

        func run() async throws {
            try await RevokeCommand.revoke(.session(sid), reason: reason, installation)
        }
    }
}
