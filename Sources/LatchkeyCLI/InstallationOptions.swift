import Postgres
import ArgumentParser
import Configuration
import Foundation
import Latchkey
import Logging

/// Which installation a command means: `--data DIR`, else `LATCHKEY_DATABASE_URL`, else `./.latchkey` where it exists.
struct InstallationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("An installation made by `latchkey dev`.", valueName: "DIR"))
    var data: String?

    /// DIR, where one is meant.
    func directory() -> DataDirectory? {
        if let data { return DataDirectory(data) }
        if ProcessInfo.processInfo.environment["LATCHKEY_DATABASE_URL"] != nil { return nil }
        let here = DataDirectory(".latchkey")
        return here.exists ? here : nil
    }

    /// The settings from `flags` (by their key, such as `latchkey.port`), the environment and, where a DIR is meant, what
    /// stands in it.
    func settings(_ profile: SettingsProfile, flags: [AbsoluteConfigKey: ConfigValue] = [:]) throws -> Settings {
        var providers: [any ConfigProvider] = [InMemoryProvider(values: flags)]
        if let directory = directory() {
            let state = try directory.state()
            providers.append(
                InMemoryProvider(values: [
                    ["latchkey", "database", "url"]: ConfigValue(.string(state.connectionString), isSecret: true),
                    ["latchkey", "issuer"]: ConfigValue(.string(state.issuer), isSecret: false),
                    ["latchkey", "keys", "dir"]: ConfigValue(.string(directory.keys), isSecret: false),
                ]))
        }
        providers.append(EnvironmentVariablesProvider())
        return try SettingsReader.read(
            ConfigReader(providers: providers), profile: directory() == nil ? profile : .dev)
    }

    /// The features over the installation, for a command that does not serve. Refuses a database of another version.
    func withInstallation<R>(_ body: (Installation) async throws -> R) async throws -> R {
        let settings = try settings(.command)
        let masterKeys = try MasterKeyFolder(settings.keysDirectory).load()
        let installation = Installation(settings, masterKeys: masterKeys, logger: Logs.quiet)
        defer { installation.close() }
        let status = try await installation.migrator.status()
        guard status == .current else { throw Node.StartError.migrations(status) }
        return try await body(installation)
    }

    /// The actor of a command in the audit log.
    static var origin: Origin {
        let name = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "\(geteuid())"
        return Origin(actor: "cli:\(name)")
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
