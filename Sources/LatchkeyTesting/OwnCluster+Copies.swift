import EmbeddedPostgres
import Foundation
package import Postgres

/// Copies of a test's cluster: standbys that follow it, backups that are restored.
extension OwnCluster {
    package enum Copy: Sendable {
        /// Follows this cluster under that name, until it is promoted.
        case standby(String)
        /// A base backup, restored as an operator does it: recovered to its end, on a timeline of its own.
        case restored
        /// A base backup, put in place as it is: nothing about it tells that it is one.
        case asItIs
    }

    /// Makes a copy now, and starts it later.
    package func copy(_ kind: Copy) async throws -> ClusterCopy {
        let home = "/tmp/latchkey-tests-copy-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        let data = "\(home)/postgres"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        let socket = server.location.socketDirectory
        var options: [String: String] = [:]
        var arguments = [
            "-D", data, "-X", "stream", "--checkpoint=fast", "--no-sync", "-d",
            "host=\(socket) port=5432 user=latchkey application_name=copy",
        ]
        switch kind {
        case .standby(let name):
            arguments.removeLast()
            arguments += ["host=\(socket) port=5432 user=latchkey application_name=\(name)", "--write-recovery-conf"]
        case .restored:
            options = ["restore_command": "/bin/false", "recovery_target_action": "promote"]
        case .asItIs: break
        }
        try await TestProgram.run("\(programs)/pg_basebackup", arguments)
        if case .restored = kind {
            _ = FileManager.default.createFile(atPath: "\(data)/recovery.signal", contents: nil)
        }
        try await Self.own(home, like: server.location.dataDirectory)
        return ClusterCopy(home: home, options: options)
    }

    /// Where PostgreSQL's programs lie: those of the server that runs.
    package var programs: String {
        let binary = try? FileManager.default.destinationOfSymbolicLink(
            atPath: "/proc/\(server.processIdentifier)/exe")
        return ((binary ?? "") as NSString).deletingLastPathComponent
    }

    /// Another database of it.
    package func database(_ name: String) -> OwnCluster {
        OwnCluster(server: server, connectionString: server.connectionString(database: name))
    }

    /// The folder that its connections name as their host.
    package var host: String { server.location.socketDirectory }

    /// Gives what lies at `path` to the cluster's user.
    package static func own(_ path: String, like other: String) async throws {
        try await TestProgram.run("/bin/chown", ["-R", "--reference=\(other)", path])
        try await TestProgram.run("/bin/chmod", ["-R", "u=rwX,go=", path])
    }

    /// As its superuser, on a connection that asks nothing of the server.
    package func administer(_ statements: String...) async throws {
        var configuration = DatabaseConfiguration(connectionString: connectionString)
        configuration.statementTimeout = 60_000_000_000
        let database = Database(configuration)
        defer { database.shutDown() }
        for statement in statements { try await database.query(Query(stringLiteral: statement)) }
    }

    package func value<V: PostgresValue>(_ statement: String, as type: V.Type = V.self) async throws -> V {
        let database = Database.patient(connectionString)
        defer { database.shutDown() }
        return try await database.query(Query(stringLiteral: statement)).one().decode("value")
    }

    /// Makes this standby the primary.
    package func promote() async throws {
        try await administer("SELECT pg_promote(true, 60)")
    }
}

/// A copy of a cluster that is not started yet.
package struct ClusterCopy: Sendable {
    package let home: String
    let options: [String: String]

    package var dataDirectory: String { "\(home)/postgres" }

    /// Runs `body` with the copy started, then stops and removes it.
    package func run(options more: [String: String] = [:], _ body: (OwnCluster) async throws -> Void) async throws {
        defer { remove() }
        let server = try await EmbeddedPostgres.start(
            ClusterLocation(dataDirectory: dataDirectory, socketDirectory: "\(home)/socket"),
            options: ["fsync": "off"].merging(options) { $1 }.merging(more) { $1 })
        let it = OwnCluster(server: server, connectionString: server.connectionString(database: "postgres"))
        let result: Result<Void, any Error>
        do {
            // One that recovers a backup takes connections before it takes writes.
            let isRecovered = try await becomesTrue(within: .seconds(60)) {
                if options.isEmpty { return true }
                return try await it.value("SELECT NOT pg_is_in_recovery() AS value")
            }
            guard isRecovered else { throw TestProgram.Failed(description: "the backup does not recover") }
            result = .success(try await body(it))
        } catch {
            result = .failure(error)
        }
        it.thaw()
        await server.stop()
        try result.get()
    }

    package func remove() { try? FileManager.default.removeItem(atPath: home) }
}

/// A program that a test runs to its end.
package enum TestProgram {
    package struct Failed: Error, CustomStringConvertible {
        package let description: String
    }

    /// - Throws: `Failed`, with what it said.
    package static func run(_ path: String, _ arguments: [String]) async throws {
        // A file, not a pipe: a server that is started meanwhile would inherit that.
        let log = FileManager.default.temporaryDirectory.appending(path: "latchkey-program-\(UUID().uuidString)").path
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        defer { try? FileManager.default.removeItem(atPath: log) }
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let output = FileHandle(forWritingAtPath: log)
        process.standardOutput = output
        process.standardError = output
        let status = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try? output?.close()
        guard status == 0 else {
            let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
            throw Failed(description: "\(path) \(arguments.joined(separator: " ")) ended with \(status): \(text)")
        }
    }
}
