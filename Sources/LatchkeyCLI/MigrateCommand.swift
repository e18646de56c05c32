import ArgumentParser
import Latchkey
import Postgres

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Brings the database to this version; safe when several nodes start it at once.",
        discussion: "Example: LATCHKEY_DATABASE_URL=postgresql://latchkey@db/latchkey latchkey migrate --status")

    @OptionGroup var installation: InstallationOptions

    @Flag(help: "Only say where the database stands; exit status 1 where it is not current.")
    var status = false

    func run() async throws {
        let settings = try installation.settings(.command)
        let database = Database(.init(connectionString: settings.databaseURL))
        defer { database.shutDown() }
        let migrator = Migrator(database, Migrations.all)
        if status {
            let status = try await migrator.status()
            guard status == .current else { throw Node.StartError.migrations(status) }
            Output.line("current")
            return
        }
        let applied = try await migrator.migrate()
        for name in applied { Output.line("applied \(name)") }
        Output.line("current")
    }
}
