import Foundation
import Testing

@testable import Postgres

@Suite("The pooled lane", .freshDatabase, .timeLimit(.minutes(2)))
struct PoolTests {
    let database = FreshDatabase.open()

    /// Until so many wait for a connection of the pool.
    private func waitUntilWaiting(_ database: Database, _ count: Int) async {
        func look() async -> Int {
            await withCheckedContinuation { continuation in
                let posted = database.reactor.post { continuation.resume(returning: $0.pool.waitingCount) }
                if !posted { continuation.resume(returning: count) }
            }
        }
        while await look() != count { try? await Task.sleep(for: .milliseconds(1)) }
    }

    @Test func `Errors carry SQLSTATE and constraint, and no value`() async throws {
        try await database.query(
            """
            CREATE TABLE t (
                name text CONSTRAINT a_name_is_taken UNIQUE CONSTRAINT a_name_is_short CHECK (length(name) < 20)
            )
            """)
        try await database.query("INSERT INTO t VALUES (\("canary"))")
        await #expect(throws: PostgresError.refused(sqlState: "23505", constraint: "a_name_is_taken")) {
            try await database.query("INSERT INTO t VALUES (\("canary"))")
        }
        let error = await #expect(throws: PostgresError.self) {
            try await database.query("INSERT INTO t VALUES (\("canary canary canary"))")
        }
        #expect(error?.sqlState == "23514")
        #expect(error?.constraint == "a_name_is_short")
        #expect(error.map { "\($0) \(String(reflecting: $0))" }?.contains("canary") == false)
    }

    @Test(arguments: [
        ("SELEC", "42601"), ("SELECT x", "42703"), ("SELECT 1/0", "22012"), ("SELECT * FROM nowhere", "42P01"),
    ])
    func `A refused statement leaves its connection usable`(text: String, state: String) async throws {
        let one = FreshDatabase.open { $0.maximumConnections = 1 }
        let backend: Int32 = try await one.value("SELECT pg_backend_pid() AS value")
        for _ in 0..<2 {
            await #expect(throws: PostgresError.refused(sqlState: state, constraint: nil)) {
                try await one.query(Query(stringLiteral: text))
            }
        }
        #expect(try await one.value("SELECT pg_backend_pid() AS value") == backend)
        one.shutDown()
    }

    @Test func `COPY, which nobody feeds, ends the connection and not the reactor`() async throws {
        try await database.query("CREATE TABLE t (id bigint)")
        await #expect(throws: PostgresError.self) { try await database.query("COPY t FROM STDIN") }
        await #expect(throws: PostgresError.self) { try await database.query("COPY t TO STDOUT") }
        #expect(try await database.query("SELECT 1").count == 1)
    }

    @Test func `Every connection has its settings`() async throws {
        let row = try await database.query(
            """
            SELECT current_setting('synchronous_commit') AS durable, current_setting('TimeZone') AS zone,
                   current_setting('idle_in_transaction_session_timeout') AS idle,
                   current_setting('client_connection_check_interval') AS check
            """
        ).one()
        #expect(try row.decode("durable", as: String.self) == "on")
        #expect(try row.decode("zone", as: String.self) == "UTC")
        #expect(try row.decode("idle", as: String.self) == "2s")
        #expect(try row.decode("check", as: String.self) == "1s")
    }

    @Test func `A thousand at once share a few connections`() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<1000 {
                group.addTask { [database] in
                    let value: Int64 = try await database.value("SELECT \(Int64(number)) AS value")
                    #expect(value == Int64(number))
                }
            }
            try await group.waitForAll()
        }
        let connections: Int64 = try await database.value(
            "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database()")
        #expect(connections <= 8)
    }

    @Test func `Who waits is served in turn`() async throws {
        let one = FreshDatabase.open { $0.maximumConnections = 1 }
        try await one.query("CREATE TABLE t (id bigint, place bigserial)")
        try await withThrowingTaskGroup(of: Void.self) { group in
            try await one.lease { lease throws(PostgresError) in
                for number in 1...20 {
                    group.addTask { try await one.query("INSERT INTO t VALUES (\(Int64(number)))") }
                    await waitUntilWaiting(one, number)
                }
                try await lease.query("SELECT 1")
            }
            try await group.waitForAll()
        }
        let order: [Int64] = try await one.value("SELECT array_agg(id ORDER BY place) AS value FROM t")
        #expect(order == Array(1...20))
        one.shutDown()
    }

    @Test func `Who waits too long for a connection was never sent`() async throws {
        let one = FreshDatabase.open { $0.maximumConnections = 1 }
        try await one.lease { lease throws(PostgresError) in
            try await lease.query("SELECT 1")
            await #expect(throws: PostgresError.unavailable(.leaseTimedOut)) {
                try await one.lease(timeout: 1_000_000) { lease throws(PostgresError) in
                    try await lease.query("SELECT 1")
                }
            }
        }
        #expect(try await one.query("SELECT 1").count == 1)
        one.shutDown()
    }

    @Test func `One too many is refused`() async throws {
        let one = FreshDatabase.open {
            $0.maximumConnections = 1
            $0.maximumWaiting = 1
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            try await one.lease { lease throws(PostgresError) in
                group.addTask { try await one.query("SELECT 1").count }
                await waitUntilWaiting(one, 1)
                await #expect(throws: PostgresError.unavailable(.tooManyWaiting)) { try await one.query("SELECT 1") }
                try await lease.query("SELECT 1")
            }
            #expect(try await group.reduce(0, +) == 1)
        }
        one.shutDown()
    }

    @Test func `A statement past its deadline is unknown, and its connection's place is free`() async throws {
        let hasty = FreshDatabase.open {
            $0.maximumConnections = 1
            $0.statementTimeout = 500_000_000
        }
        for _ in 0..<2 {
            var error: PostgresError?
            repeat {
                error = await outcome { _ = try await hasty.query("SELECT pg_sleep(600)::text") }
            } while error == .unavailable(.leaseTimedOut)  // a busy machine may need that long to connect
            #expect(error == .unknownOutcome)
        }
        let patient = FreshDatabase.open()
        // The server notices that nobody listens any more.
        try await patient.wait(
            until: """
                SELECT count(*) = 0 AS value FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep%'
                """)
        #expect(await connections(hasty) == 0)
        hasty.shutDown()
        patient.shutDown()
    }

    private func connections(_ database: Database) async -> Int {
        await withCheckedContinuation { continuation in
            let posted = database.reactor.post { continuation.resume(returning: $0.connectionCount) }
            if !posted { continuation.resume(returning: -1) }
        }
    }

    @Test func `A lease past its deadline sends nothing more`() async throws {
        try await database.query("CREATE TABLE t (id bigint)")
        await #expect(throws: PostgresError.self) {
            try await database.lease(timeout: 300_000_000) { lease throws(PostgresError) in
                try await lease.query("SELECT 1")
                let end = monotonicNow() + 300_000_000
                while monotonicNow() < end { await Task.yield() }
                await #expect(throws: PostgresError.unavailable(.leaseTimedOut)) {
                    try await lease.query("INSERT INTO t VALUES (1)")
                }
                throw .unexpectedRowCount(0)
            }
        }
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 0)
    }

    @Test func `A connection left in a transaction is not given to the next`() async throws {
        let one = FreshDatabase.open { $0.maximumConnections = 1 }
        try await one.query("CREATE TABLE t (id bigint)")
        _ = try await one.lease { lease throws(PostgresError) in
            try await lease.batch(["BEGIN", "INSERT INTO t VALUES (1)"], commits: .no)
        }
        #expect(try await one.query("INSERT INTO t VALUES (2)").affected == 1)
        #expect(try await database.value("SELECT array_agg(id) AS value FROM t", as: [Int64].self) == [2])
        one.shutDown()
    }

    @Test func `Where a connection breaks, those who wait for it are served by another`() async throws {
        let one = FreshDatabase.open { $0.maximumConnections = 1 }
        async let victim = outcome { _ = try await one.query("SELECT pg_advisory_xact_lock(7), pg_sleep(600)") }
        let waiting: Query = """
            SELECT count(*) = 1 AS value FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event = 'PgSleep'
            """
        try await database.wait(until: waiting)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 1...5 {
                group.addTask { try await one.query("SELECT 1").count }
                await waitUntilWaiting(one, number)
            }
            try await database.query(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'
                """)
            #expect(try await group.reduce(0, +) == 5)
        }
        #expect(await victim == .unknownOutcome)
        one.shutDown()
    }

    private func outcome(_ body: @Sendable () async throws -> Void) async -> PostgresError? {
        do { try await body() } catch { return error as? PostgresError }
        return nil
    }

    @Test func `A connection killed while it was idle is replaced without an error`() async throws {
        let one = FreshDatabase.open { $0.maximumConnections = 1 }
        let backend: Int32 = try await one.value("SELECT pg_backend_pid() AS value")
        try await database.query("SELECT pg_terminate_backend(\(backend), 60000)")
        await untilGone(backend)
        #expect(try await one.value("SELECT pg_backend_pid() AS value") != backend)
        one.shutDown()
    }

    @Test func `A lease whose connection was lost says that nothing was sent`() async throws {
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) {
            try await database.lease { lease throws(PostgresError) in
                let backend: Int32 = try await lease.query("SELECT pg_backend_pid() AS value").one().decode("value")
                try await database.query("SELECT pg_terminate_backend(\(backend), 60000)")
                try await database.noticesEnd(of: backend)
                try await lease.query("SELECT 1")
            }
        }
        #expect(try await database.query("SELECT 1").count == 1)
    }

    @Test func `A batch is one transaction`() async throws {
        try await database.query("CREATE TABLE t (id bigint PRIMARY KEY)")
        await #expect(throws: PostgresError.refused(sqlState: "23505", constraint: "t_pkey")) {
            try await database.batch([
                "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)",
            ])
        }
        await #expect(throws: PostgresError.refused(sqlState: "22012", constraint: nil)) {
            try await database.batch(["SELECT 1 / \(Int64(0))", "INSERT INTO t VALUES (3)"])
        }
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 0)
        let results = try await database.batch(["INSERT INTO t VALUES (1)", "SELECT id FROM t"])
        #expect(results.map(\.count) == [0, 1])
        #expect(try await database.batch([]).isEmpty)
    }

    @Test(arguments: ["SELECT pg_sleep(600)", "SELECT 1"])
    func `The reactor sleeps while it waits`(text: String) async throws {
        let idle = FreshDatabase.open()
        _ = try await idle.grouped("SELECT 1")
        async let pending = outcome { _ = try await idle.query(Query(stringLiteral: text)) }
        let before = await processorTime(idle)
        _ = try await database.query("SELECT pg_sleep(1)::text")
        #expect(await processorTime(idle) - before < 100_000_000)
        idle.shutDown()
        _ = await pending
    }

    /// Nanoseconds that the reactor's thread has used.
    private func processorTime(_ database: Database) async -> Int64 {
        await withCheckedContinuation { continuation in
            let posted = database.reactor.post { _ in
                var time = timespec()
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
                continuation.resume(returning: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
            }
            if !posted { continuation.resume(returning: .max) }
        }
    }
}
