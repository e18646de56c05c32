import EmbeddedPostgres
import Foundation
import Synchronization

/// A folder for one cluster, reachable by the cluster's user.
struct Home: Sendable {
    let path: String
    let location: ClusterLocation

    init(named name: String = "home") throws {
        let unique = String(UInt64.random(in: .min ... .max), radix: 16)
        path = "/tmp/latchkey-test-\(unique)/\(name)"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        location = ClusterLocation(
            dataDirectory: "\(path)/cluster/data", socketDirectory: "/tmp/latchkey-test-\(unique).s")
    }

    func start(
        options: [String: String] = ["fsync": "off"], progress: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws(EmbeddedPostgresError) -> EmbeddedPostgres {
        try await EmbeddedPostgres.start(location, options: options, progress: progress)
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent)
    }
}

/// The lines of progress a start told.
final class Stages: Sendable {
    private let told = Mutex<[String]>([])
    var lines: [String] { told.withLock { $0 } }
    var add: @Sendable (String) -> Void { { line in self.told.withLock { $0.append(line) } } }
}

extension EmbeddedPostgres {
    /// Asks as a stranger would: `psql` with the connection string.
    func ask(_ query: String, database: String = "postgres") async throws -> String {
        let (status, output) = try await Processes.run(
            "/usr/bin/env",
            ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", query, connectionString(database: database)])
        guard status == 0 else { throw Psql.Failed() }
        return output
    }
}

enum Psql {
    struct Failed: Error {}
}

enum Processes {
    /// The processes whose command line mentions `text`, from /proc; those of this test's own process excepted.
    static func mentioning(_ text: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { name in
            guard let id = Int32(name), id != getpid() else { return false }
            let line = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(id)/cmdline"))) ?? Data()
            return line.range(of: Data(text.utf8)) != nil
        }
    }

    /// True once `id` is gone; false where it is still there after so many seconds.
    static func isGone(_ id: pid_t, within seconds: Int) async throws -> Bool {
        try await run("/usr/bin/timeout", ["\(seconds)", "tail", "--pid=\(id)", "-s", "0.05", "-f", "/dev/null"]).status
            == 0
    }

    static func run(_ program: String, _ arguments: [String]) async throws -> (status: Int32, output: String) {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                let process = Process()
                // Into a file: the end of a pipe may be inherited by a server that another test starts meanwhile, and
                // whoever reads the pipe to its end would wait for that server.
                let file = "/tmp/latchkey-output-\(UUID().uuidString)"
                defer { try? FileManager.default.removeItem(atPath: file) }
                _ = FileManager.default.createFile(atPath: file, contents: nil)
                process.executableURL = URL(fileURLWithPath: program)
                process.arguments = arguments
                process.standardOutput = FileHandle(forWritingAtPath: file)
                process.standardError = FileHandle.nullDevice
                do {
                    try process.run()
                    process.waitUntilExit()
                    let output = try Data(contentsOf: URL(fileURLWithPath: file))
                    let text = String(decoding: output, as: UTF8.self).trimmingCharacters(in: .newlines)
                    continuation.resume(returning: (process.terminationStatus, text))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }
}
