import Postgres
import ArgumentParser
import Foundation
import Latchkey
import Logging

/// Which installation a command means: `--data DIR`, else `LATCHKEY_DATABASE_URL`, else `./.latchkey` where it exists.
struct InstallationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("An installation made by `latchkey dev`.", valueName: "DIR"))
    var data: String?

    @OptionGroup var configuration: ConfigurationOptions

    /// DIR, where one is meant.
    func directory() throws -> DataDirectory? {
        if let data { return DataDirectory(data) }
        if ProcessInfo.processInfo.environment["LATCHKEY_DATABASE_URL"] != nil { return nil }
        if try configuration.file()?.values["database.url"] != nil { return nil }
        let here = DataDirectory(".latchkey")
        return here.exists ? here : nil
    }

    /// Where settings come from: `flags` (by their key, such as `port`), what stands in DIR where one is meant, the
    /// environment, the file.
    func sources(flags: [String: String] = [:]) throws -> [SettingsSource] {
        var sources = [SettingsSource.flags(flags)]
        if let directory = try directory() {
            let state = try directory.state()
            sources.append(
                .installation(
                    ["database.url": state.connectionString, "issuer": state.issuer, "keys.dir": directory.keys],
                    in: directory.path))
        }
        return sources + (try configuration.sources())
    }

    func settings(_ profile: SettingsProfile, flags: [String: String] = [:]) throws -> Settings {
        try SettingsReader.read(try sources(flags: flags), profile: try directory() == nil ? profile : .dev)
    }

    /// The features over the installation, for a command that does not serve. Refuses a database of another version.
    func withInstallation<R>(_ body: (Installation) async throws -> R) async throws -> R {
        let settings = try settings(.command)
        let masterKeys = try settings.masterKeySource.load()
        let installation = Installation(settings, as: .command, masterKeys: masterKeys, logger: Logs.quiet)
        defer { installation.close() }
        let status = try await installation.migrator.status()
        guard status == .current else { throw Node.StartError.migrations(status) }
        try await installation.masterKeyRing.adopt()
        return try await body(installation)
    }

    /// The actor of a command in the audit log.
    static var origin: Origin {
        let name = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "\(geteuid())"
        return Origin(actor: "cli:\(name)")
    }
}

/// The environment and the file: where every command reads its settings.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Settings in YAML; the environment goes before them.", valueName: "FILE"),
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String?

    /// - Throws: `ConfigFileError`.
    func file() throws -> ConfigFile? { try config.map { try ConfigFile(path: $0) } }

    func sources() throws -> [SettingsSource] {
        let file = try file().map { [SettingsSource.file($0)] } ?? []
        return [.environment(ProcessInfo.processInfo.environment)] + file
    }

    /// What is odd about the file, in the log of a node that starts.
    func warn(_ logger: Logger) throws {
        for warning in try file()?.warnings ?? [] {
            logger.warning("the configuration file is usable, but", metadata: ["warning": "\(warning)"])
        }
    }
}

struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON.")
    var json = false

    var form: Output.Form { json ? .json : .table }
}

/// One JSON object a line on standard error.
enum Logs {
    static func logger(_ level: Logger.Level) -> Logger {
        var logger = Logger(label: "latchkey") { JSONLogHandler(label: $0) }
        logger.logLevel = level
        return logger
    }

    /// For commands: what matters they print themselves.
    static var quiet: Logger { logger(.critical) }
}
