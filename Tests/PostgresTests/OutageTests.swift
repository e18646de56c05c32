import EmbeddedPostgres
import LatchkeyTesting
import Testing

@testable import Postgres

@Suite("Servers that are not there", .freshDatabase, .timeLimit(.minutes(2)))
struct OutageTests {
    private func open(_ connectionString: String) -> Database {
        var configuration = DatabaseConfiguration(connectionString: connectionString)
        configuration.statementTimeout = 60_000_000_000
        return Database(configuration)
    }

    @Test(arguments: [
        "host=/nonexistent", "host=127.0.0.1 port=1", "host=127.0.0.1 port=1 dbname='", "nonsense",
        "host=127.0.0.1,/nonexistent port=1,2",
    ])
    func `Who cannot connect says so at once, each time, in both lanes`(connectionString: String) async throws {
        let database = open(connectionString)
        let start = ContinuousClock.now
        for _ in 0..<3 {
            await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }
            await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.grouped("SELECT 1") }
        }
        // The pauses between attempts count (50 and 100 ms), and so does a busy machine; six deadlines would be 12 s.
        #expect(ContinuousClock.now - start < .seconds(8))
        database.shutDown()
    }

    @Test func `An unknown database is a server that cannot be reached`() async throws {
        let database = open(FreshDatabase.connectionString + " dbname=nowhere")
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }
        database.shutDown()
    }

    @Test func `The second of two hosts is reached where the first refuses`() async throws {
        let folder = FreshDatabase.connectionString.split(separator: "'")[1]
        let name = FreshDatabase.connectionString.split(separator: "'")[7]
        let database = open("host=127.0.0.1,127.0.0.1,\(folder) port=1,2,5432 user=latchkey dbname=\(name)")
        let start = ContinuousClock.now
        #expect(try await database.query("SELECT 1").count == 1)
        #expect(try await database.grouped("SELECT 1").count == 1)
        #expect(ContinuousClock.now - start < .seconds(2))
        database.shutDown()
    }

    @Test func `A server that does not answer is given up in time`() async throws {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        relay.set(.mute)
        let database = FreshDatabase.open {
            $0.connectionString = relay.connectionString
            $0.connectTimeout = 200_000_000
        }
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.query("SELECT 1") }
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await database.grouped("SELECT 1") }
        relay.set(.open)
        // A busy machine may need more than that to connect.
        #expect(await becomesTrue { (try? await database.query("SELECT 1"))?.count == 1 })
        #expect(await becomesTrue { (try? await database.grouped("SELECT 1"))?.count == 1 })
        database.shutDown()
    }

    @Test func `A lost answer is unknown, though the group was committed`() async throws {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        let database = FreshDatabase.open { $0.connectionString = relay.connectionString }
        let observer = FreshDatabase.open()
        try await observer.query("CREATE TABLE t (id bigint PRIMARY KEY)")
        _ = try await database.grouped("INSERT INTO t VALUES (\(Int64(1)))")
        relay.set(.cut)
        await #expect(throws: PostgresError.unknownOutcome) {
            try await database.grouped("INSERT INTO t VALUES (\(Int64(2)))")
        }
        relay.set(.open)
        #expect(try await observer.value("SELECT count(*) AS value FROM t", as: Int64.self) == 2)
        #expect(try await database.grouped("INSERT INTO t VALUES (\(Int64(3)))").affected == 1)
        observer.shutDown()
        database.shutDown()
    }

    @Test func `A server that falls silent ends the group at its deadline`() async throws {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        let database = FreshDatabase.open {
            $0.connectionString = relay.connectionString
            $0.statementTimeout = 1_000_000_000
        }
        while await database.groupedOutcome("SELECT 1").error != nil {}  // a busy machine may need more than a second
        relay.set(.mute)
        await #expect(throws: PostgresError.unknownOutcome) { try await database.grouped("SELECT 1") }
        // Not even a connection: it was never sent.
        await #expect(throws: PostgresError.unavailable(.leaseTimedOut)) { try await database.grouped("SELECT 1") }
        database.shutDown()
    }

    @Test func `Silence on one connection ends those that idle beside it`() async throws {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        let database = FreshDatabase.open {
            $0.connectionString = relay.connectionString
            $0.maximumConnections = 3
            $0.statementTimeout = 1_500_000_000
        }
        @Sendable func open() async -> Int {
            await withCheckedContinuation { continuation in
                let posted = database.reactor.post { continuation.resume(returning: $0.connectionCount) }
                if !posted { continuation.resume(returning: -1) }
            }
        }
        let isWarm = await becomesTrue {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<3 { group.addTask { _ = try? await database.query("SELECT pg_sleep(0.05)::text") } }
            }
            return await open() == 3
        }
        #expect(isWarm)
        relay.set(.mute)
        await #expect(throws: PostgresError.unknownOutcome) { try await database.query("SELECT 1") }
        // Each of the others would have cost the statement that takes it its whole deadline.
        #expect(await open() == 0)
        relay.set(.open)
        #expect(try await database.query("SELECT 1").count == 1)
        database.shutDown()
    }

    @Test func `A slow statement beside a server that speaks ends nobody else's connection`() async throws {
        let database = FreshDatabase.open {
            $0.maximumConnections = 3
            $0.statementTimeout = 2_000_000_000
        }
        while await database.groupedOutcome("SELECT 1").error != nil {}
        let backend: Int32 = try await database.grouped("SELECT pg_backend_pid() AS value").one().decode("value")
        async let slow = outcome { try await database.query("SELECT pg_sleep(600)::text") }
        let asking = Task {
            while !Task.isCancelled { _ = try? await database.grouped("SELECT pg_backend_pid() AS value") }
        }
        #expect(await slow == .unknownOutcome)
        asking.cancel()
        await asking.value
        #expect(
            try await database.grouped("SELECT pg_backend_pid() AS value").one().decode("value", as: Int32.self)
                == backend)
        database.shutDown()
    }

    @Test func `A server that goes is missed within two seconds and found again when it is back`() async throws {
        try await OwnCluster.run { try await self.stopAndRestart($0.server, $0.connectionString) }
    }

    private func stopAndRestart(_ server: EmbeddedPostgres, _ connectionString: String) async throws {
        let database = open(connectionString)
        var notifications = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await notifications.next() == .listening)
        _ = try await database.query("SELECT 1")
        _ = try await database.grouped("SELECT 1")
        for _ in 0..<2 {
            await server.stopImmediately()
            let start = ContinuousClock.now
            for _ in 0..<2 {
                #expect(await outcome { try await database.query("SELECT 1") } == .unavailable(.cannotConnect))
                #expect(await outcome { try await database.grouped("SELECT 1") } == .unavailable(.cannotConnect))
            }
            #expect(ContinuousClock.now - start < .seconds(2))
            try await server.restart()
            #expect(try await database.query("SELECT 1").count == 1)
            #expect(try await database.grouped("SELECT 1").count == 1)
            #expect(await notifications.next() == .listening)
        }
        database.shutDown()
        #expect(await notifications.next() == nil)
    }

    @Test func `Shutting down ends whoever waits`() async throws {
        let database = FreshDatabase.open { $0.maximumConnections = 1 }
        var notifications = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await notifications.next() == .listening)
        let errors = await withTaskGroup(of: PostgresError?.self) { group in
            // Two in flight, and those who wait behind them: which is which is the reactor's affair.
            for _ in 0..<10 {
                group.addTask { await outcome { try await database.query("SELECT pg_sleep(600)::text") } }
                group.addTask { await outcome { try await database.grouped("SELECT pg_sleep(600)::text") } }
            }
            let observer = FreshDatabase.open()
            try? await observer.wait(
                until: """
                    SELECT count(*) = 2 AS value FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event = 'PgSleep'
                    """)
            observer.shutDown()
            database.shutDown()
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(errors.count == 20)
        #expect(errors.allSatisfy { $0 == .unknownOutcome || $0 == .unavailable(.shutDown) })
        #expect(errors.count { $0 == .unavailable(.shutDown) } >= 9)
        #expect(await notifications.next() == nil)
        #expect(await outcome { try await database.query("SELECT 1") } == .unavailable(.shutDown))
        #expect(await outcome { try await database.grouped("SELECT 1") } == .unavailable(.shutDown))
        var late = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await late.next() == nil)
        database.shutDown()
    }

    private func outcome(_ body: () async throws -> ResultSet) async -> PostgresError? {
        do { _ = try await body() } catch { return error as? PostgresError }
        return nil
    }

    @Test func `A database that nobody holds ends its connections and its thread`() async throws {
        let observer = FreshDatabase.open()
        do {
            let dropped = FreshDatabase.open()
            _ = try await dropped.query("SELECT 1")
            _ = try await dropped.grouped("SELECT 1")
        }
        try await observer.wait(
            until: "SELECT count(*) = 1 AS value FROM pg_stat_activity WHERE datname = current_database()")
        observer.shutDown()
    }
}
