import ArgumentParser
import JOSE
import Latchkey
import PKCS11
import Postgres

/// Looks at a running installation and says what to mend.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Looks at a running installation, and says what to mend.",
        discussion: """
            Measures for about five seconds; exit status 1 where something fails.
            Example: latchkey doctor --json
            """)

    @OptionGroup var installation: InstallationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let settings = try installation.settings(.command)
        var configuration = DatabaseConfiguration(connectionString: settings.databaseURL)
        configuration.applicationName = "latchkey doctor"
        configuration.maximumConnections = 2
        let database = Database(configuration)
        defer { database.shutDown() }
        let doctor = Doctor(
            database,
            settings: .init(
                masterKeys: settings.masterKeySource, publishLead: settings.keys.publishLead,
                // The pool, the lanes, the listener and the pulse.
                connectionsOfOneNode: settings.databaseConnections + 6, argon2: settings.argon2,
                hashingMemoryKiB: settings.hashingMemoryKiB, token: settings.token.map { SecurityToken($0) }))
        var findings: [Finding] = []
        await doctor.examine { finding in
            findings.append(finding)
            if output.form == .table { Self.print(finding) }
        }
        if output.form == .json { Output.rows(findings.map(\.json), columns: [], as: .json) }
        let failed = findings.filter { $0.level == .fail }.count
        guard failed == 0 else {
            throw Failure("\(failed) of \(findings.count) examinations failed: mend what they name")
        }
    }

    /// Each line when it is known: the whole takes seconds.
    private static func print(_ finding: Finding) {
        let name = finding.examination.rawValue
        let level = finding.level.rawValue
        Output.line(
            level + String(repeating: " ", count: 6 - level.count) + name
                + String(repeating: " ", count: max(1, 17 - name.count)) + finding.text)
        if let advice = finding.advice { Output.line(String(repeating: " ", count: 23) + "→ " + advice) }
    }
}

extension Finding {
    fileprivate var json: JSONValue {
        .object(
            JSONObject([
                ("check", .string(examination.rawValue)), ("level", .string(level.rawValue)), ("found", .string(text)),
                ("advice", advice.map { .string($0) }),
            ]))
    }
}
