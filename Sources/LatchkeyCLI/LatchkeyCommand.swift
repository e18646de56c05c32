import ArgumentParser
import Foundation
import Latchkey

/// The command `latchkey`: parses, calls the same features as the routes, prints.
@main
struct LatchkeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latchkey",
        abstract: "An identity service: tokens that verify offline, are refreshed safely, and can be revoked at once.",
        discussion: "Example: latchkey dev",
        version: Node.version,
        subcommands: [
            DevCommand.self, ServeCommand.self, MigrateCommand.self, MasterKeyCommand.self, KeysCommand.self,
            UsersCommand.self, RolesCommand.self, SessionsCommand.self, RevokeCommand.self, AuditCommand.self,
            ClientsCommand.self, RestoredCommand.self, CheckConfigCommand.self, DoctorCommand.self, GuardCommand.self,
        ])

    /// Exit status: 0 done, 1 refused or failed, 2 wrong usage.
    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            let code = exitCode(for: error)
            if code == .success {
                Output.line(fullMessage(for: error))
            } else if code == .validationFailure {
                Output.complain(fullMessage(for: error))
                Foundation.exit(2)
            } else if let code = error as? ExitCode {
                Foundation.exit(code.rawValue)
            } else {
                Output.complain("latchkey: \(Failure(error).description)")
                Foundation.exit(1)
            }
        }
    }
}
