import Foundation
import Glibc
import Synchronization

/// A private PostgreSQL cluster: made where it is missing, started, supervised, and stopped whatever ends its owner.
///
/// This room runs PostgreSQL's programs and looks after their processes and folders. It does not connect: what speaks
/// to the server lives in `Postgres`. The server listens on a Unix socket in a folder of mode 0700 and nowhere else, so
/// that it stands beside any other on port 5432; who can enter the folder is the superuser `latchkey`.
///
/// Dropping the last reference stops the server, as the owner's death does.
package final class EmbeddedPostgres: Sendable {
    /// Where the cluster lies. Its socket folder differs from the one asked for where that was taken by somebody else.
    package let location: ClusterLocation

    private let account: ClusterAccount
    private let options: [String: String]
    private let running: Mutex<Server>

    private struct Server {
        let guardian: GuardProcess
        let processIdentifier: pid_t
    }

    /// Makes the cluster where it is missing, starts it, and returns when it accepts connections.
    ///
    /// - Parameters:
    ///   - options: server settings beyond our own, by name. `fsync` `off` also makes the cluster without syncing it.
    ///   - progress: told one line before each stage that takes noticeable time.
    package static func start(
        _ location: ClusterLocation, options: [String: String] = [:],
        progress: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws(EmbeddedPostgresError) -> EmbeddedPostgres {
        try await onThread { () throws(EmbeddedPostgresError) in
            let account = try ClusterAccount.current()
            try location.validate()
            try account.makeHome(location.home)
            var place = location
            for _ in 0..<3 {
                if place.socketFits {
                    do throws(EmbeddedPostgresError) {
                        let server = try launch(place, account: account, options: options, progress: progress)
                        return EmbeddedPostgres(location: place, account: account, options: options, server: server)
                    } catch .socketFolderRefused {
                        progress("\(place.socketDirectory) is not ours: taking another socket folder")
                    }
                }
                place.socketDirectory = ClusterLocation.randomSocketDirectory()
            }
            throw .socketFolderRefused(path: place.socketDirectory)
        }
    }

    private init(location: ClusterLocation, account: ClusterAccount, options: [String: String], server: Server) {
        self.location = location
        self.account = account
        self.options = options
        running = Mutex(server)
    }

    deinit {
        running.withLock { $0.guardian.release() }
    }

    /// A libpq connection string in keyword form. It carries no secret.
    ///
    /// `requirepeer` refuses whoever else might listen in that folder once this server is gone.
    package func connectionString(database: String) -> String {
        let pairs = [
            ("host", location.socketDirectory), ("port", "5432"), ("user", "latchkey"), ("dbname", database),
            ("requirepeer", account.name),
        ]
        return pairs.map { "\($0)=\(Self.quoted($1))" }.joined(separator: " ")
    }

    /// The postmaster's process id.
    package var processIdentifier: Int32 { running.withLock { $0.processIdentifier } }

    /// Returns when the server has ended, for whatever reason: `stop`, a crash, somebody's `kill`; or when the task is
    /// cancelled.
    package func waitUntilExit() async {
        for await _ in running.withLock({ $0.guardian }).exit() {}
    }

    /// Shuts the server down ("fast": clients are disconnected, a checkpoint is written) and waits. Idempotent.
    package func stop() async {
        let guardian = running.withLock { $0.guardian }
        guardian.release()
        await guardian.waitUntilExit()
    }

    /// Ends the server as a crash would, without a checkpoint, and waits; `restart` then recovers from the WAL.
    package func stopImmediately() async {
        let guardian = running.withLock { $0.guardian }
        guardian.crash()
        await guardian.waitUntilExit()
    }

    /// Starts a server that has ended, at the same location and with the same options; ends one that still runs first.
    package func restart() async throws(EmbeddedPostgresError) {
        await stop()
        let server = try await Self.onThread { [self] () throws(EmbeddedPostgresError) in
            try Self.launch(location, account: account, options: options, progress: { _ in })
        }
        running.withLock { $0 = server }
    }

    // MARK: Starting

    /// Blocks until the server accepts connections: on a thread of its own only.
    private static func launch(
        _ location: ClusterLocation, account: ClusterAccount, options: [String: String], progress: (String) -> Void
    ) throws(EmbeddedPostgresError) -> Server {
        let version = existingVersion(location)
        let programs = try PostgresPrograms.find(version: version)
        if version == nil { progress("making a private PostgreSQL cluster (about 2 s, once)") }

        let settings = self.settings(location).merging(options) { $1 }.sorted { $0.key < $1.key }
        let durability = options["fsync"] == "off" ? "--no-sync" : ""
        let arguments =
            [location.log, location.dataDirectory, programs.folder, location.socketDirectory, durability]
            + settings.flatMap { ["-c", "\($0.key)=\($0.value)"] }
        // Recovery from a long WAL takes its time; only a server that hangs reaches the second limit.
        let now = ContinuousClock.now
        let (patience, limit) = (now + .seconds(8), now + .seconds(300))
        while true {
            let log = ServerLog(path: location.log)
            let guardian = try GuardProcess(account: account, arguments: arguments)
            while guardian.exitStatus == nil, ContinuousClock.now < limit {
                if let server = readyServer(location, of: guardian) {
                    return Server(guardian: guardian, processIdentifier: server)
                }
                usleep(10_000)
            }
            guardian.release()
            let lines = log.lastLines()
            // After a postmaster was killed its backends need a moment to notice, and hold the memory until then.
            guard lines.contains("pre-existing shared memory block"), ContinuousClock.now < patience else {
                throw failure(location, status: guardian.exitStatus, lastLines: lines)
            }
            usleep(100_000)
        }
    }

    private static func failure(
        _ location: ClusterLocation, status: Int32?, lastLines: String
    ) -> EmbeddedPostgresError {
        switch status.flatMap(GuardScript.Refusal.init) {
        case .logNotWritable: .folderUnusable(path: location.home, reason: "\(location.log) cannot be written")
        case .alreadyRunning: .alreadyRunning(dataDirectory: location.dataDirectory)
        case .notMade: .notMade(log: location.log, lastLines: lastLines)
        case .socketFolder: .socketFolderRefused(path: location.socketDirectory)
        case .notACluster: .notACluster(path: location.dataDirectory)
        case nil: .notStarted(log: location.log, lastLines: lastLines)
        }
    }

    private static func existingVersion(_ location: ClusterLocation) -> String? {
        let text = try? String(contentsOfFile: "\(location.dataDirectory)/PG_VERSION", encoding: .utf8)
        return text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }.map(String.init)
    }

    /// The postmaster's process id once it accepts connections, be it as a standby, from its lock file: the id is the first
    /// line, the state the eighth.
    ///
    /// A crash leaves the file of an earlier server behind, so only a child of this guard counts.
    private static func readyServer(_ location: ClusterLocation, of guardian: GuardProcess) -> pid_t? {
        let file = try? String(contentsOfFile: "\(location.dataDirectory)/postmaster.pid", encoding: .utf8)
        let lines = (file ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 8, lines[7].hasPrefix("ready") || lines[7].hasPrefix("standby"),
            let server = pid_t(lines[0]),
            let status = try? String(contentsOfFile: "/proc/\(server)/status", encoding: .utf8),
            status.split(separator: "\n").contains("PPid:\t\(guardian.processIdentifier)")
        else { return nil }
        return server
    }

    /// A folder reachable through the socket only, modest memory, and a log without the values of anybody's rows.
    private static func settings(_ location: ClusterLocation) -> [String: String] {
        let folder = location.socketDirectory.replacingOccurrences(of: "\"", with: "\"\"")
        return [
            "listen_addresses": "", "port": "5432", "unix_socket_directories": "\"\(folder)\"",
            "unix_socket_permissions": "0700", "max_connections": "100", "shared_buffers": "64MB", "jit": "off",
            "timezone": "UTC", "log_timezone": "UTC", "log_checkpoints": "off", "logging_collector": "off",
            "log_destination": "stderr", "log_line_prefix": "%m [%p] ",
            // DETAIL quotes the offending row (`Key (email)=(a@b) already exists`), and a statement its literals.
            "log_error_verbosity": "terse", "log_min_error_statement": "panic",
        ]
    }

    private static func quoted(_ value: String) -> String {
        let escaped = value.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "'", with: "\\'")
        return "'\(escaped)'"
    }

    /// Runs what blocks on a thread of its own, never on one of the cooperative pool's.
    private static func onThread<Success: Sendable>(
        _ work: @escaping @Sendable () throws(EmbeddedPostgresError) -> Success
    ) async throws(EmbeddedPostgresError) -> Success {
        let result: Result<Success, EmbeddedPostgresError> = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: Result { () throws(EmbeddedPostgresError) in try work() })
            }
        }
        return try result.get()
    }
}
