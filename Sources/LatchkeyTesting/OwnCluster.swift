package import EmbeddedPostgres
import Foundation
import Glibc
package import Postgres

/// A cluster of a test's own, for what would hurt the one that all share: stopped, frozen, full, read-only.
package struct OwnCluster: Sendable {
    package let server: EmbeddedPostgres
    /// Of its one database, by the socket.
    package let connectionString: String

    /// Runs `body`, then stops the cluster and removes it.
    package static func run(
        options: [String: String] = [:], migrations: [Migration] = [], _ body: (OwnCluster) async throws -> Void
    ) async throws {
        let home = "/tmp/latchkey-tests-own-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        defer { try? FileManager.default.removeItem(atPath: home) }
        let server = try await EmbeddedPostgres.start(
            ClusterLocation(dataDirectory: "\(home)/postgres", socketDirectory: "\(home)/socket"),
            options: ["fsync": "off"].merging(options) { $1 })
        let it = OwnCluster(server: server, connectionString: server.connectionString(database: "postgres"))
        let result: Result<Void, any Error>
        do {
            if !migrations.isEmpty {
                let database = Database.patient(it.connectionString)
                defer { database.shutDown() }
                _ = try await Migrator(database, migrations).migrate()
            }
            result = .success(try await body(it))
        } catch {
            result = .failure(error)
        }
        it.signal(SIGCONT)  // a frozen server does not stop
        await server.stop()
        try result.get()
    }

    /// Stops every process of the cluster where it stands: connections stay open, and nothing answers.
    package func freeze() { signal(SIGSTOP) }

    package func thaw() { signal(SIGCONT) }

    /// The postmaster first, so that it makes no further child meanwhile.
    private func signal(_ signal: Int32) {
        let postmaster = server.processIdentifier
        kill(postmaster, signal)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let process = Int32(name),
                let stat = try? String(contentsOfFile: "/proc/\(name)/stat", encoding: .utf8),
                // `pid (name) state ppid …`; a name may hold anything.
                let parent = stat.split(separator: ")").last?.split(separator: " ").dropFirst().first,
                Int32(parent) == postmaster
            else { continue }
            kill(process, signal)
        }
    }
}
