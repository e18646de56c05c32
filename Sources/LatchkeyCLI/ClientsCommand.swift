import ArgumentParser
import JOSE
import Latchkey

struct ClientsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clients", abstract: "The OAuth clients.", discussion: "Example: latchkey clients list",
        subcommands: [
            Create.self, List.self, Show.self, Update.self, RotateSecret.self, Disable.self, Enable.self,
        ])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create", abstract: "Registers a client; its secret is printed here and never again.",
            discussion: "Example: latchkey clients create 'order service' --scope orders:read --scope users:read")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var metadata: MetadataOptions
        @Argument(help: "Shown to people.") var name: String

        func run() async throws {
            let json = try await installation.withInstallation { it in
                let (client, secret) = try await it.clients.create(
                    metadata.request(name: name), by: .everything, origin: InstallationOptions.origin)
                return client.json(secret: secret)
            }
            Output.one(json, as: output.form)
        }
    }

    /// What a client is registered for; what is left out is the default, or stays.
    struct MetadataOptions: ParsableArguments {
        @Option(help: "authorization_code, client_credentials (the default) or refresh_token; may be repeated.")
        var grantType: [String] = []
        @Option(help: "What it may ask for at the most; may be repeated.")
        var scope: [String] = []
        @Option(help: "client_secret_basic (the default), client_secret_post or none.")
        var authMethod: String?
        @Option(help: ArgumentHelp("Where authorization codes may go; may be repeated.", valueName: "uri"))
        var redirectURI: [String] = []

        @Option(
            help: ArgumentHelp(
                "RS256, PS256, ES256, EdDSA or default: what signs its access tokens.", valueName: "alg"))
        var signingAlg: String?

        func request(name: String?) -> ClientRequest {
            ClientRequest(
                name: name, grantTypes: grantType.isEmpty ? nil : grantType, authenticationMethod: authMethod,
                redirectURIs: redirectURI.isEmpty ? nil : redirectURI,
                scope: scope.isEmpty ? nil : scope.joined(separator: " "), accessTokenAlgorithm: signingAlg)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "The clients in the order of their making.",
            discussion: "Example: latchkey clients list --limit 20")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Option var limit: Int64 = 1000
        @Option(help: "Begin after this id.") var after = ""

        func run() async throws {
            let clients = try await installation.withInstallation {
                try await $0.clients.list(after: after, limit: limit)
            }
            Output.rows(
                clients.map { $0.json() },
                columns: ["client_id", "client_name", "status", "token_endpoint_auth_method", "grant_types", "scope"],
                as: output.form)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "One client.", discussion: "Example: latchkey clients show first-party")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Argument var id: String

        func run() async throws {
            let client = try await installation.withInstallation { try await $0.clients.find(id) }
            Output.one(client.json(), as: output.form)
        }
    }

    struct Update: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "update",
            abstract: "Changes what is named; where a scope or a grant type goes, the client's tokens end.",
            discussion: "Example: latchkey clients update 019ab3de-0000-7000-8000-000000000000 --scope orders:read")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var metadata: MetadataOptions
        @Argument var id: String
        @Option(help: "Another name.") var name: String?
        @Flag(help: "Takes every scope away.") var noScope = false

        func validate() throws {
            guard !noScope || metadata.scope.isEmpty else { throw ValidationError("Name --scope or --no-scope.") }
        }

        func run() async throws {
            var request = metadata.request(name: name)
            if noScope { request.scope = "" }
            let json = try await installation.withInstallation { [request] in
                try await $0.sessions.changeClient(
                    id, request, by: .everything, origin: InstallationOptions.origin
                ).client.json()
            }
            Output.one(json, as: output.form)
        }
    }

    struct RotateSecret: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate-secret",
            abstract: "Makes another secret, printed here and never again; the old one lives on for a while.",
            discussion: """
                Example: latchkey clients rotate-secret 019ab3de-0000-7000-8000-000000000000 --expire-old-after 3600

                With 0 the old secret is refused at once, and all that was got by it ends: for a secret that has leaked.
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Argument var id: String
        @Option(help: ArgumentHelp("How long the old secret lives: 0 to 2592000.", valueName: "seconds"))
        var expireOldAfter: Int64 = Sessions.oldSecretLife

        func run() async throws {
            let json = try await installation.withInstallation { it in
                try await ClientAdministration(it.clients, sessions: it.sessions, idempotency: it.idempotency)
                    .rotateSecret(of: id, oldLives: expireOldAfter, origin: InstallationOptions.origin)
            }
            Output.one(json, as: output.form)
        }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "disable", abstract: "Ends the client's tokens and sessions and lets it get no new ones.",
            discussion: "Example: latchkey clients disable 019ab3de-0000-7000-8000-000000000000 --reason leaked")

        @OptionGroup var installation: InstallationOptions
        @Argument var id: String
        @Option(help: "Written to the audit log.") var reason: String?

        func run() async throws {
            try await installation.withInstallation { it in
                _ = try await it.sessions.disableClient(id, reason: reason, origin: InstallationOptions.origin)
            }
            Output.line("disabled \(id)")
        }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "enable", abstract: "Lets the client get tokens again.",
            discussion: "Example: latchkey clients enable 019ab3de-0000-7000-8000-000000000000")

        @OptionGroup var installation: InstallationOptions
        @Argument var id: String

        func run() async throws {
            try await installation.withInstallation { it in
                try await it.clients.enable(id, origin: InstallationOptions.origin)
            }
            Output.line("enabled \(id)")
        }
    }
}
