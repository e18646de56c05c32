import EmbeddedPostgres
import Foundation
package import Postgres

/// One PostgreSQL cluster for all tests of a process, and databases on it: each a clone of a migrated template, which
/// takes under 0.1 s. Nothing on its disk is synced. It is stopped and its folder removed when the process ends,
/// whatever ends it.
package actor TestCluster {
    private let server: EmbeddedPostgres
    private let administration: Database
    /// By the names and texts of the migrations. A task, so that all who ask meanwhile wait for the one that migrates.
    private var templates: [[String]: Task<String, any Error>] = [:]
    /// The names of the databases that stand, by connection string.
    private var names: [String: String] = [:]
    private var made = 0

    /// Starts the cluster the first time. The task ends when the cluster accepts connections.
    private static let started = Task { try await TestCluster() }

    package static func shared() async throws -> TestCluster {
        try await started.value
    }

    private init() async throws {
        let home = "/tmp/latchkey-tests-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try Self.removeAtExit(home)
        server = try await EmbeddedPostgres.start(
            ClusterLocation(dataDirectory: "\(home)/postgres", socketDirectory: "\(home)/socket"),
            options: [
                "fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_connections": "400",
                "shared_buffers": "128MB",
            ])
        var configuration = DatabaseConfiguration(connectionString: server.connectionString(database: "postgres"))
        configuration.maximumConnections = 4
        configuration.statementTimeout = 120_000_000_000
        administration = Database(configuration)
    }

    /// A database of the caller's own, migrated; returns its libpq connection string.
    package func makeDatabase(migrations: [Migration] = []) async throws -> String {
        let template = migrations.isEmpty ? "template1" : try await template(migrations)
        let name = nextName("test")
        // By file: four times as quick as through the WAL, where nothing is synced.
        try await administration.query(
            Query(stringLiteral: "CREATE DATABASE \(name) TEMPLATE \(template) STRATEGY file_copy"))
        let connectionString = server.connectionString(database: name)
        names[connectionString] = name
        return connectionString
    }

    /// Ends the connections to the database and removes it. Nothing where it was not made here.
    package func dropDatabase(_ connectionString: String) async throws {
        guard let name = names.removeValue(forKey: connectionString) else { return }
        try await administration.query(Query(stringLiteral: "DROP DATABASE IF EXISTS \(name) WITH (FORCE)"))
    }

    /// Runs `body` with the connection string of a database of its own, which is dropped afterwards.
    package static func withDatabase<R: Sendable>(
        migrations: [Migration] = [], _ body: (String) async throws -> R
    ) async throws -> R {
        let cluster = try await shared()
        let connectionString = try await cluster.makeDatabase(migrations: migrations)
        let result: Result<R, any Error>
        do { result = .success(try await body(connectionString)) } catch { result = .failure(error) }
        try await cluster.dropDatabase(connectionString)
        return try result.get()
    }

    private func template(_ migrations: [Migration]) async throws -> String {
        let key = migrations.flatMap { [$0.name, $0.text] }
        if let task = templates[key] { return try await task.value }
        let name = nextName("template")
        let task = Task {
            try await administration.query(Query(stringLiteral: "CREATE DATABASE \(name)"))
            var configuration = DatabaseConfiguration(connectionString: server.connectionString(database: name))
            configuration.maximumConnections = 1
            let database = Database(configuration)
            defer { database.shutDown() }
            _ = try await Migrator(database, migrations).migrate()
            return name
        }
        templates[key] = task
        return try await task.value
    }

    private func nextName(_ kind: String) -> String {
        made += 1
        return "\(kind)_\(made)"
    }

    /// A child that outlives this process by a moment: it reads a pipe until we are gone, waits for the lock that the
    /// server's guard holds as long as anything of the server is left, and removes the folder.
    private static func removeAtExit(_ home: String) throws {
        let sweeper = Process()
        sweeper.executableURL = URL(fileURLWithPath: "/bin/sh")
        sweeper.arguments = [
            "-c", #"trap '' HUP INT TERM; read -r _; flock -w 30 "$1/postgres.lock" true; rm -rf "$1""#, "sweeper",
            home,
        ]
        sweeper.standardInput = alive
        sweeper.standardOutput = FileHandle.nullDevice
        sweeper.standardError = FileHandle.nullDevice
        try sweeper.run()
    }

    /// Its writing end is open as long as this process lives.
    private static let alive = Pipe()
}

extension Database {
    /// A test's own look into a database, which no deadline cuts short on a busy machine.
    package static func patient(_ connectionString: String) -> Database {
        var configuration = DatabaseConfiguration(connectionString: connectionString)
        configuration.statementTimeout = 30_000_000_000
        return Database(configuration)
    }
}
