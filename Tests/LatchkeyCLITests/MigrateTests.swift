import Latchkey
import Postgres
import Testing

/// `latchkey migrate`.
@Suite struct MigrateTests {
    @Test func `Four processes at once apply each migration once`() async throws {
        try await ServeGround.run(migrations: []) { ground in
            let transcripts = try await withThrowingTaskGroup(of: ChildProcess.Transcript.self) { group in
                for _ in 0..<4 { group.addTask { try await ground.command("migrate") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            for transcript in transcripts {
                #expect(transcript.exit == .code(0), "\(transcript.errors)")
                #expect(transcript.outputLines.last == "current")
            }
            let applied = transcripts.flatMap(\.outputLines).filter { $0.hasPrefix("applied ") }
            #expect(applied.sorted() == Migrations.all.map { "applied \($0.name)" })
            try await ground.withDatabase { database in
                let rows = try await database.query("SELECT name FROM migrations ORDER BY name").rows
                #expect(try rows.map { try $0.decode("name", as: String.self) } == Migrations.all.map(\.name))
            }
        }
    }

    @Test func `Its status says what is missing, then that nothing is, and changes nothing`() async throws {
        try await ServeGround.run(migrations: []) { ground in
            for _ in 0..<2 {
                let transcript = try await ground.command("migrate", "--status")
                #expect(transcript.refused("0001_create_installation", "0006_create_audit_events"), "\(transcript)")
            }
            #expect(try await ground.command("migrate").exit == .code(0))
            let current = try await ground.command("migrate", "--status")
            #expect(current.exit == .code(0))
            #expect(current.outputLines == ["current"])
        }
    }

    @Test func `Again it has nothing to do`() async throws {
        try await ServeGround.run { ground in
            let transcript = try await ground.command("migrate")
            #expect(transcript.exit == .code(0))
            #expect(transcript.outputLines == ["current"])
        }
    }
}
