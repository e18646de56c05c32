import ArgumentParser
import EmbeddedPostgres
import Foundation
import Latchkey
import Logging
import Postgres
import ServiceLifecycle

struct DevCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev",
        abstract: "The one-command service: a private PostgreSQL, keys, an administrator, ready to use.",
        discussion: "Example: latchkey dev --port 8080 --data .latchkey")

    @Option(help: "The port to listen on (LATCHKEY_PORT).")
    var port: Int?

    @Option(help: ArgumentHelp("Where everything is kept; made where it is missing.", valueName: "DIR"))
    var data = ".latchkey"

    @OptionGroup var configuration: ConfigurationOptions

    func run() async throws {
        let directory = DataDirectory(data)
        // What is wrong with the settings is told before anything is made.
        let issuer = try settings(directory, "host=/").issuer
        try directory.make()
        let lock = try directory.lock()
        defer { withExtendedLifetime(lock) {} }

        let location = try (try? directory.state().cluster) ?? EmbeddedPostgres.chooseLocation(for: directory.path)
        // Before it is made: a start that is cut off would leave a cluster that no file names, and the next make another.
        try directory.write(.init(issuer: issuer, cluster: location, connectionString: "", pid: getpid()))
        let postgres = try await EmbeddedPostgres.start(location) { Output.complain("dev: \($0)") }
        do {
            try await serve(directory, postgres)
        } catch {
            await postgres.stop()
            throw error
        }
        await postgres.stop()
    }

    private func serve(_ directory: DataDirectory, _ postgres: EmbeddedPostgres) async throws {
        let connectionString = postgres.connectionString(database: DataDirectory.database)
        let settings = try settings(directory, connectionString)
        try directory.write(
            .init(
                issuer: settings.issuer, cluster: postgres.location, connectionString: connectionString, pid: getpid()))
        try await makeDatabase(postgres)

        let folder = MasterKeyFolder(directory.keys)
        if try folder.initialise() != nil { Output.complain("dev: made a master key in \(directory.keys)") }
        let installation = Installation(
            settings, masterKeys: try folder.load(), logger: Logs.logger(settings.logLevel))
        let applied = try await installation.migrator.migrate()
        if !applied.isEmpty { Output.complain("dev: migrated the database (\(applied.count) steps)") }
        try await makeAdministrator(installation, directory)
        try await Serving.run(installation, beside: [ServerWatch(postgres: postgres, logger: Logs.logger(.info))])
    }

    private func settings(_ directory: DataDirectory, _ connectionString: String) throws -> Settings {
        var flags = ["database.url": connectionString, "keys.dir": directory.keys]
        if let port { flags["port"] = "\(port)" }
        let given = [SettingsSource.flags(flags)] + (try configuration.sources())
        let port = SettingsReader.text("port", in: given) ?? "8080"
        return try SettingsReader.read(given + [.defaults(["issuer": "http://127.0.0.1:\(port)"])], profile: .dev)
    }

    /// The database inside the cluster, made once. CREATE DATABASE has no IF NOT EXISTS.
    private func makeDatabase(_ postgres: EmbeddedPostgres) async throws {
        let database = Database(.init(connectionString: postgres.connectionString(database: "postgres")))
        defer { database.shutDown() }
        let exists: Bool = try await database.query(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'latchkey') AS found"
        ).one().decode("found")
        if !exists {
            _ = try await database.lease(timeout: 60_000_000_000) { lease throws(PostgresError) in
                try await lease.query("CREATE DATABASE latchkey").affected
            }
        }
    }

    private func makeAdministrator(_ installation: Installation, _ directory: DataDirectory) async throws {
        do {
            _ = try await installation.users.find("admin")
        } catch Rejection.notFound {
            let given = ProcessInfo.processInfo.environment["LATCHKEY_ADMIN_PASSWORD"].flatMap { $0.isEmpty ? nil : $0 }
            let text = try given ?? directory.adminPassword()
            let password: Password
            do { password = try Password(setting: text) } catch {
                let source = given == nil ? directory.passwordFile : "LATCHKEY_ADMIN_PASSWORD"
                throw Failure("\(source) holds no usable password: \(error)")
            }
            _ = try await installation.users.register(
                try Username("admin"), password, email: nil, roles: ["admin"], origin: InstallationOptions.origin)
            if given == nil {
                Output.line("administrator: admin, password \(text) (kept in \(directory.passwordFile))")
            } else {
                Output.line("administrator: admin, password as in LATCHKEY_ADMIN_PASSWORD")
            }
        }
    }
}

/// Starts the private PostgreSQL again where it ended by itself.
struct ServerWatch: Service {
    let postgres: EmbeddedPostgres
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await postgres.waitUntilExit()
                if Task.isCancelled { return }
                logger.error("the private PostgreSQL has ended by itself and is started again")
                do {
                    try await postgres.restart()
                } catch {
                    logger.error("the private PostgreSQL does not start", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: .seconds(1))
                }
            }
        }
    }
}
