import LatchkeyTesting
import Synchronization
import Testing

@testable import Postgres

@Suite("A gate before the servers", .freshDatabase, .timeLimit(.minutes(2)))
struct ServerGateTests {
    private static let identifier: Query = "SELECT system_identifier::text AS value FROM pg_control_system()"

    /// What the gate admits, told from outside.
    private final class Wish: Sendable {
        let server = Mutex("")
    }

    @Test func `Of several hosts the one that is admitted is used, and another one once that has changed`() async throws
    {
        try await OwnCluster.run { other in
            let folders = [other.connectionString, FreshDatabase.connectionString].map { $0.split(separator: "'")[1] }
            let wish = Wish()
            var configuration = DatabaseConfiguration(
                connectionString: "host=\(folders[0]),\(folders[1]) port=5432 user=latchkey dbname=postgres")
            configuration.gate = ServerGate(asking: Self.identifier) { row in
                guard let value = try? row?.decode("value", as: String.self) else { return false }
                return wish.server.withLock { $0 } == value
            }
            let database = Database(configuration)
            defer { database.shutDown() }
            await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }

            for connectionString in [FreshDatabase.connectionString, other.connectionString] {
                let own = Database(.init(connectionString: connectionString))
                let id: String = try await own.value("SELECT system_identifier::text AS value FROM pg_control_system()")
                own.shutDown()
                wish.server.withLock { $0 = id }
                // Until then what is connected goes on.
                database.recheck()
                #expect(
                    await becomesTrue {
                        let pooled = try? await database.query(Self.identifier).one().decode("value", as: String.self)
                        let grouped = try? await database.grouped(Self.identifier).one().decode(
                            "value", as: String.self)
                        return pooled == id && grouped == id
                    })
            }
        }
    }

    @Test(arguments: [true, false]) func `A server that does not know what it is asked of is admitted or not`(
        isAdmitted: Bool
    ) async throws {
        let database = FreshDatabase.open {
            $0.gate = ServerGate(asking: "SELECT value FROM no_such_table") { $0 == nil && isAdmitted }
        }
        defer { database.shutDown() }
        if isAdmitted {
            #expect(try await database.query("SELECT 1").count == 1)
            // And it is set up as any other.
            let zone: String = try await database.value("SELECT current_setting('synchronous_commit') AS value")
            #expect(zone == "on")
        } else {
            await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }
        }
    }

    @Test func `A connection that stays admitted stays`() async throws {
        let database = FreshDatabase.open { $0.gate = ServerGate(asking: "SELECT 1") { $0 != nil } }
        defer { database.shutDown() }
        let backend: Int32 = try await database.query("SELECT pg_backend_pid() AS value").one().decode("value")
        database.recheck()
        #expect(
            try await database.query("SELECT pg_backend_pid() AS value").one().decode("value", as: Int32.self)
                == backend)
    }
}
