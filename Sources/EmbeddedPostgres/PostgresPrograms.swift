import Foundation

/// The folder of PostgreSQL's own programs, none of which Debian puts on the `PATH`.
struct PostgresPrograms: Sendable {
    /// Holds `initdb` and `postgres`.
    let folder: String

    /// The newest installed PostgreSQL, or the one of the major version that made an existing cluster.
    ///
    /// Looks in Debian's folders, then asks `pg_config`, then follows the `PATH`.
    static func find(version: String?) throws(EmbeddedPostgresError) -> PostgresPrograms {
        let debian = "/usr/lib/postgresql"
        let installed = ((try? FileManager.default.contentsOfDirectory(atPath: debian)) ?? [])
            .filter { version == nil || $0 == version }
            .sorted { $0.compare($1, options: .numeric) == .orderedDescending }
            .map { "\(debian)/\($0)/bin" }
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        // Links are followed: a link on the PATH may stand in a folder that the cluster's user cannot enter.
        let linked = path.map { URL(fileURLWithPath: "\($0)/initdb").resolvingSymlinksInPath().path }
            .map { ($0 as NSString).deletingLastPathComponent }
        if let folder = installed.first(where: isComplete) { return PostgresPrograms(folder: folder) }
        // Another version would refuse the data anyway, with less to say about what to install.
        let elsewhere = (configured(path).map { [$0] } ?? []) + linked
        guard let folder = elsewhere.first(where: { isComplete($0) && (version == nil || major($0) == version) }) else {
            throw .programsMissing(version: version)
        }
        return PostgresPrograms(folder: folder)
    }

    private static func isComplete(_ folder: String) -> Bool {
        ["initdb", "postgres"].allSatisfy { FileManager.default.isExecutableFile(atPath: "\(folder)/\($0)") }
    }

    private static func configured(_ path: [String]) -> String? {
        path.map { "\($0)/pg_config" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
            .flatMap { output(of: $0, "--bindir") }
    }

    /// The major version, from the last word of `postgres (PostgreSQL) 15.13`, or of `… 15.13 (Debian …)`.
    private static func major(_ folder: String) -> String? {
        output(of: "\(folder)/postgres", "--version")?
            .split(separator: " ")
            .first { $0.utf8.first.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false }
            .map { String($0.prefix { $0 != "." }) }
    }

    private static func output(of program: String, _ argument: String) -> String? {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = [argument]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { return nil }
        // What it printed, not all until the pipe ends: a server that is started meanwhile may inherit the other end.
        let bytes = pipe.fileHandleForReading.availableData
        return String(data: bytes, encoding: .utf8)?.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
