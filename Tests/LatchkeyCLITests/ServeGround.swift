import Foundation
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

/// What `latchkey serve` needs and does not make: a database and master keys, and the environment that names them.
struct ServeGround: Sendable {
    let connectionString: String
    let keys: String
    /// Over those below.
    var settings: [String: String] = [:]

    var environment: [String: String] {
        [
            "LATCHKEY_DATABASE_URL": connectionString, "LATCHKEY_KEYS_DIR": keys,
            "LATCHKEY_ISSUER": "https://id.example", "LATCHKEY_REGISTRATION": "open",
        ].merging(settings) { $1 }
    }

    /// Runs `body` with a migrated database, or with an empty one where `migrations` is empty.
    static func run(
        migrations: [Migration] = Migrations.all, settings: [String: String] = [:],
        _ body: (ServeGround) async throws -> Void
    ) async throws {
        try await Dev.withFolder(named: "keys") { folder in
            try await TestCluster.withDatabase(migrations: migrations) { connectionString in
                let ground = ServeGround(connectionString: connectionString, keys: folder.path, settings: settings)
                let made = try await ground.command("master-key", "init")
                #expect(made.exit == .code(0), "\(made.errors)")
                try await body(ground)
            }
        }
    }

    func command(_ arguments: String...) async throws -> ChildProcess.Transcript {
        try await LatchkeyBinary.run(arguments, environment: environment)
    }

    /// A `latchkey serve` that is expected to refuse.
    func refusal(_ changes: [String: String] = [:]) async throws -> ChildProcess.Transcript {
        try await LatchkeyBinary.run(
            ["serve", "--port", "\(FreePort.next())"], environment: environment.merging(changes) { $1 })
    }

    func withDatabase<Result: Sendable>(_ body: (Database) async throws -> Result) async throws -> Result {
        let database = Database.patient(connectionString)
        defer { database.shutDown() }
        return try await body(database)
    }

    /// Runs `body` with so many nodes that serve, started at once.
    func withNodes(_ count: Int, _ body: ([ServeNode]) async throws -> Void) async throws {
        var nodes: [ServeNode] = []
        let result: Result<Void, any Error>
        do {
            for _ in 0..<count { nodes.append(try await start()) }
            for node in nodes { _ = try await node.process.line(after: "ready: ") }
            result = .success(try await body(nodes))
        } catch {
            result = .failure(error)
        }
        for node in nodes {
            node.process.send(SIGKILL)
            try await node.process.end()
        }
        try result.get()
    }

    /// Does not wait for its `ready:` line.
    func start(port: Int = FreePort.next()) async throws -> ServeNode {
        let process = try await LatchkeyBinary.start(["serve", "--port", "\(port)"], environment: environment)
        return ServeNode(process: process, site: Site(port: port))
    }
}

/// A `latchkey serve`.
struct ServeNode: Sendable {
    let process: ChildProcess
    let site: Site
}
