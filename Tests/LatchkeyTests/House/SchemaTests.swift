import EmbeddedPostgres
import Foundation
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

/// `pg_dump` of the tests' own server.
enum Dump {
    enum Part: String { case schema = "--schema-only", everything = "--inserts" }

    /// Into a file, on a thread of its own: a pipe's end may be inherited by a process that other tests start, and
    /// whoever reads it on a cooperative thread then waits for that process.
    static func text(_ connectionString: String, _ part: Part) async throws -> String {
        let installed = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let newest = installed.compactMap { Int($0) }.max().map { "/usr/lib/postgresql/\($0)/bin/pg_dump" }
        let file = FileManager.default.temporaryDirectory.appending(path: "latchkey-dump-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        let arguments = [
            newest ?? "pg_dump", part.rawValue, "--no-owner", "--file", file, "--dbname", connectionString,
        ]
        let status = try await withCheckedThrowingContinuation { continuation in
            Thread {
                continuation.resume(
                    with: Result {
                        let process = Process()
                        process.executableURL = URL(filePath: "/usr/bin/env")
                        process.arguments = arguments
                        try process.run()
                        process.waitUntilExit()
                        return process.terminationStatus
                    })
            }.start()
        }
        try #require(status == 0, "pg_dump failed")
        return try String(contentsOfFile: file, encoding: .utf8)
    }
}

@Suite("The schema")
struct SchemaTests {
    private static let golden = "migrations/schema.sql"

    /// What differs between versions of pg_dump and between runs is dropped: comments, settings, `\restrict` words.
    private static func normalised(_ dump: String) -> String {
        dump.split(separator: "\n")
            .filter { line in
                !["--", "SET ", "\\restrict", "\\unrestrict", "SELECT pg_catalog.set_config"].contains {
                    line.hasPrefix($0)
                }
            }
            .joined(separator: "\n") + "\n"
    }

    private static let heading = """
        -- What the migrations make, as `pg_dump --schema-only --no-owner` says it. Never edited: after a new migration run
        -- LATCHKEY_WRITE_SCHEMA=1 swift test --filter SchemaTests

        """

    /// After a new migration: `LATCHKEY_WRITE_SCHEMA=1 swift test --filter SchemaTests`, then read the difference.
    @Test("that the migrations make is the golden dump")
    func isGolden() async throws {
        let made = try await TestCluster.withDatabase(migrations: Migrations.all) { try await Dump.text($0, .schema) }
        let schema = Self.normalised(made)
        try #require(schema.contains("CREATE TABLE public.sessions"))
        if ProcessInfo.processInfo.environment["LATCHKEY_WRITE_SCHEMA"] == "1" {
            let file = Repository.root.appending(path: Self.golden)
            try (Self.heading + schema).write(to: file, atomically: true, encoding: .utf8)
        }
        let golden = Self.normalised(try Repository.text(Self.golden))
        let (expected, actual) = (golden.split(separator: "\n"), schema.split(separator: "\n"))
        #expect(actual.difference(from: expected).map { "\($0)" } == [], "the schema differs from \(Self.golden)")
    }

    @Test("is made by every migration in the folder, in the order of their names, and by no other")
    func migrationsAreListed() throws {
        let files = try Repository.names(in: "migrations").filter { $0 != "schema.sql" }
        #expect(files == Migrations.all.map { "\($0.name).sql" })
        for (number, file) in files.enumerated() {
            #expect(file.wholeMatch(of: /\d{4}_[a-z]+(_[a-z]+)+\.sql/) != nil, "\(file) is not NNNN_verb_noun.sql")
            #expect(Int(file.prefix(4)) == number + 1, "\(file)")
            let text = try Repository.text("migrations/\(file)")
            #expect(Migrations.all[number].text == text, "\(file)")
        }
    }
}
