import ArgumentParser
import Latchkey

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Who did what, from where, in which request; the newest first.",
        discussion: "Example: latchkey audit --since 2026-11-22T00:00:00Z --actor cli:root")

    @OptionGroup var installation: InstallationOptions
    @OptionGroup var output: OutputOptions
    @Option(help: "A time, as 2026-11-22T17:00:00Z.") var since: String?
    @Option(help: "user:ID, client:ID, cli:NAME, node or anonymous.") var actor: String?
    @Option(
        help: """
            user:ID, session:SID, role:NAME, token:JTI, key:KID, client:ID, master-key:VERSION, installation or all.
            """)
    var target: String?
    @Option var limit: Int64 = 1000

    func run() async throws {
        let instant = try since.map { try AuditAdministration.instant($0) }
        let records = try await installation.withInstallation { it in
            try await it.audit.records(since: instant, actor: actor, target: target, before: nil, limit: limit)
        }
        Output.rows(
            records.map(\.json), columns: ["at", "actor", "action", "target", "address", "request_id", "detail"],
            as: output.form)
    }
}
