import Testing

@testable import Postgres

@Suite("A request's patience", .freshDatabase, .timeLimit(.minutes(2)))
struct PatienceTests {
    let database = FreshDatabase.open()

    @Test func `Statements, each in time, are not waited for longer than that in all`() async throws {
        _ = try await database.query("SELECT pg_sleep(0)::text")
        let start = ContinuousClock.now
        let error = await Patience.$current.withValue(Patience(nanoseconds: 1_500_000_000)) {
            await #expect(throws: PostgresError.self) {
                while ContinuousClock.now - start < .seconds(20) {
                    _ = try await database.query("SELECT pg_sleep(0.4)::text")
                }
            }
        }
        #expect(error == .unknownOutcome || error == .unavailable(.leaseTimedOut))
        #expect(ContinuousClock.now - start >= .milliseconds(1_500))
        #expect(ContinuousClock.now - start < .seconds(4))
    }

    @Test func `What was spent elsewhere does not count`() async throws {
        try await Patience.$current.withValue(Patience(nanoseconds: 30_000_000_000)) {
            try await Task.sleep(for: .milliseconds(50))
            #expect(try await database.query("SELECT 1").count == 1)
            let patience = try #require(Patience.current)
            #expect(patience.bounded(.max) > 29_000_000_000)
            #expect(patience.bounded(5) == 5)
        }
    }

    @Test func `Once it is gone, nothing is sent any more, in a transaction neither`() async throws {
        try await database.query("CREATE TABLE t (id bigint)")
        _ = try await database.query("DELETE FROM t")  // prepared: it would leave in one send
        await Patience.$current.withValue(Patience(nanoseconds: 0)) {
            await #expect(throws: PostgresError.unavailable(.leaseTimedOut)) {
                try await database.query("DELETE FROM t")
            }
            await #expect(throws: PostgresError.self) { try await database.query("INSERT INTO t VALUES (1)") }
            await #expect(throws: PostgresError.self) { _ = try await database.grouped("INSERT INTO t VALUES (1)") }
            await #expect(throws: PostgresError.self) {
                try await database.transaction { try await $0.query("INSERT INTO t VALUES (1)") }
            }
        }
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 0)
    }

    @Test func `What names a limit of its own may take it`() async throws {
        _ = try await database.query("SELECT 1")
        try await Patience.$current.withValue(Patience(nanoseconds: 1)) {
            let count = try await database.lease(timeout: 60_000_000_000) { lease throws(PostgresError) in
                try await lease.query("SELECT pg_sleep(0.2)::text").count
            }
            #expect(count == 1)
        }
    }

    @Test func `One caller's last moments do not end the group of another`() async throws {
        let slow: Query = "SELECT pg_sleep(1.5)::text AS value"
        _ = try await database.grouped("SELECT 1")
        // Both wait behind a statement in flight, and so form one group.
        async let first = database.groupedOutcome("SELECT pg_sleep(0.5)::text AS value")
        try await Task.sleep(for: .milliseconds(100))
        let database = database
        async let hasty = Patience.$current.withValue(Patience(nanoseconds: 1_000_000_000)) {
            await database.groupedOutcome(slow)
        }
        async let patient = database.groupedOutcome("SELECT 1")
        #expect(await first.error == nil)
        #expect(await hasty.error == .unknownOutcome)
        #expect(await patient.error == nil)
    }
}
