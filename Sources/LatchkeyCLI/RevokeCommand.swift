import ArgumentParser
import Latchkey

struct RevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Revokes a token, a session, or all of a user, of a client, or of everybody.",
        discussion: """
            Examples:
              latchkey revoke --user alice --reason 'laptop stolen'
              latchkey revoke --token --reason 'leaked in a log' < token-file
            """)

    @OptionGroup var installation: InstallationOptions
    @Flag(help: "A token, read from standard input.") var token = false
    @Option(help: ArgumentHelp("A session.", valueName: "SID")) var session: String?
    @Option(help: ArgumentHelp("All sessions of a user.", valueName: "NAME")) var user: String?
    @Option(help: ArgumentHelp("All sessions under a client, and its own tokens.", valueName: "ID")) var client: String?
    @Flag(help: "All sessions of everybody, and every client's own tokens.") var all = false
    @Option(help: "Written to the audit log.") var reason: String

    private var targets: Int {
        [token, session != nil, user != nil, client != nil, all].count { $0 }
    }

    func validate() throws {
        guard targets == 1 else {
            throw ValidationError("Name one of --token, --session, --user, --client, --all.")
        }
    }

    func run() async throws {
        let target: SessionAdministration.Target
        if let session {
            target = .session(session)
        } else if let user {
            target = .user(user)
        } else if let client {
            target = .client(client)
        } else if all {
            target = .all
        } else {
            guard let line = readLine(strippingNewline: true), !line.isEmpty else {
                throw Failure("no token came on standard input: pipe it in")
            }
            target = .token(line)
        }
        try await Self.revoke(target, reason: reason, installation)
    }

    /// Durable when this returns; nodes follow within a tick.
    static func revoke(
        _ target: SessionAdministration.Target, reason: String?, _ installation: InstallationOptions
    ) async throws {
        let position = try await installation.withInstallation { it in
            if case .token = target, it.settings.issuer == SettingsReader.noIssuer {
                throw Failure(
                    "LATCHKEY_ISSUER is not set: a token is known by its issuer; set it as the service has it")
            }
            try await it.readOnce()
            let administration = SessionAdministration(it.sessions, users: it.users, tokens: it.tokens)
            return try await administration.revoke(target, reason: reason, origin: InstallationOptions.origin)
        }
        guard let position else { throw Failure("that is no token of this installation, or it has expired long ago") }
        Output.line("revoked, position \(position.word)")
    }
}
