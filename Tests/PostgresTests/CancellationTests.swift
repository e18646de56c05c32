import LatchkeyTesting
import Testing

@testable import Postgres

@Suite("Tasks that are cancelled", .freshDatabase, .timeLimit(.minutes(2)))
struct CancellationTests {
    let database = FreshDatabase.open { $0.maximumConnections = 1 }
    let observer = FreshDatabase.open()

    private func outcome<R>(_ body: () async throws -> R) async -> PostgresError? {
        do { _ = try await body() } catch { return error as? PostgresError }
        return nil
    }

    /// Of the pool and of the hot lane: how many wait, and how many are in flight.
    private func counts() async -> (pool: Int, lane: Int, inFlight: Bool) {
        await withCheckedContinuation { continuation in
            let posted = database.reactor.post { core in
                let lane = core.lanes[GroupedLane.hot.rawValue]
                continuation.resume(returning: (core.pool.waitingCount, lane.waitingCount, lane.isInFlight))
            }
            if !posted { continuation.resume(returning: (-1, -1, false)) }
        }
    }

    /// Until a backend of this database waits for the advisory lock.
    private func untilBlocked() async throws {
        try await observer.wait(
            until: """
                SELECT count(*) = 1 AS value FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
                """)
    }

    @Test func `Before anything was sent, nothing is`() async throws {
        try await observer.query("CREATE TABLE t (id bigint)")
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let task = Task<[PostgresError?], Never> { [database] in
            for await _ in gate { break }
            return [
                await outcome { try await database.query("INSERT INTO t VALUES (1)") },
                await outcome { _ = try await database.grouped("INSERT INTO t VALUES (1)") },
                await outcome { try await database.batch(["INSERT INTO t VALUES (1)"]) },
                await outcome { try await database.transaction { try await $0.query("INSERT INTO t VALUES (1)") } },
            ]
        }
        task.cancel()
        open.finish()
        #expect(await task.value == [PostgresError?](repeating: .unavailable(.cancelled), count: 4))
        #expect(try await observer.value("SELECT count(*) AS value FROM t", as: Int64.self) == 0)
    }

    @Test func `In a queue they leave it at once, and those behind them are served`() async throws {
        try await observer.query("CREATE TABLE t (id bigint)")
        try await observer.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(5)")
            async let pooled = outcome { try await database.query("SELECT pg_advisory_xact_lock(5)::text") }
            async let grouped = outcome {
                _ = try await database.grouped("SELECT pg_advisory_xact_lock_shared(5)::text")
            }
            #expect(await becomesTrue { await counts().inFlight })
            let statement = Task<PostgresError?, Never> { [database] in
                await outcome { try await database.query("INSERT INTO t VALUES (1)") }
            }
            #expect(await becomesTrue { await counts().pool == 1 })
            let lease2 = Task<PostgresError?, Never> { [database] in
                await outcome {
                    try await database.lease { lease throws(PostgresError) in
                        try await lease.query("INSERT INTO t VALUES (2)")
                    }
                }
            }
            #expect(await becomesTrue { await counts().pool == 2 })
            let member = Task<PostgresError?, Never> { [database] in
                await outcome { _ = try await database.grouped("INSERT INTO t VALUES (3)") }
            }
            #expect(await becomesTrue { await counts().lane == 1 })
            let behind = Task<PostgresError?, Never> { [database] in
                await outcome { try await database.query("INSERT INTO t VALUES (4)") }
            }
            let neighbour = Task<PostgresError?, Never> { [database] in
                await outcome { _ = try await database.grouped("INSERT INTO t VALUES (5)") }
            }
            #expect(await becomesTrue { await counts() == (3, 2, true) })
            for task in [statement, lease2, member] {
                task.cancel()
                #expect(await task.value == .unavailable(.cancelled))
            }
            #expect(await counts() == (1, 1, true))
            try await lease.query("SELECT pg_advisory_unlock(5)")
            #expect(await behind.value == nil)
            #expect(await neighbour.value == nil)
            #expect(await pooled == nil)
            #expect(await grouped == nil)
        }
        #expect(
            try await observer.value("SELECT array_agg(id ORDER BY id) AS value FROM t", as: [Int64].self) == [4, 5])
    }

    @Test func `In flight they are told at once that the outcome is unknown, and the write may stand`() async throws {
        try await observer.query("CREATE TABLE t (id bigint)")
        try await observer.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(5)")
            for lane in ["pool", "lane"] {
                let insert: Query = "INSERT INTO t SELECT 1 FROM pg_advisory_xact_lock(5)"
                let task = Task<PostgresError?, Never> { [database] in
                    await outcome {
                        if lane == "pool" {
                            try await database.query(insert)
                        } else {
                            _ = try await database.grouped(insert)
                        }
                    }
                }
                do { try await untilBlocked() } catch { Issue.record(error) }
                task.cancel()
                #expect(await task.value == .unknownOutcome)
                try await lease.query("SELECT pg_advisory_unlock(5)")
                try await lease.query("SELECT pg_advisory_lock(5)")
            }
        }
        // Neither slot leaked: the only connection of the pool and the lane's serve the next, after what was in flight.
        #expect(try await database.query("SELECT 1").count == 1)
        #expect(try await database.grouped("SELECT 1").count == 1)
        #expect(try await observer.value("SELECT count(*) AS value FROM t", as: Int64.self) == 2)
    }

    @Test func `In the middle of a transaction it is undone, and its connection does not keep the lock`() async throws {
        try await observer.query("CREATE TABLE t (id bigint)")
        let task = Task<PostgresError?, Never> { [database] in
            await outcome {
                try await database.transaction { transaction in
                    try await transaction.query("INSERT INTO t VALUES (1)")
                    try await transaction.query("SELECT pg_advisory_xact_lock(6)")
                    try await transaction.query("SELECT pg_sleep(600)::text")
                }
            }
        }
        try await observer.wait(
            until: """
                SELECT count(*) = 1 AS value FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'
                """)
        task.cancel()
        #expect(await task.value == .unknownOutcome)
        // The pool's one place is free within a second; the server ends the statement when it sees that nobody listens.
        #expect(try await database.query("SELECT 1").count == 1)
        try await observer.query("SELECT pg_advisory_xact_lock(6)")
        #expect(try await observer.value("SELECT count(*) AS value FROM t", as: Int64.self) == 0)
    }

    @Test func `Between two statements of a transaction it is rolled back, on a connection that lives on`() async throws
    {
        try await observer.query("CREATE TABLE t (id bigint)")
        let backend: Int32 = try await database.value("SELECT pg_backend_pid() AS value")
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let (reached, arrive) = AsyncStream.makeStream(of: Void.self)
        let task = Task<PostgresError?, Never> { [database] in
            await outcome {
                try await database.transaction { transaction in
                    try await transaction.query("INSERT INTO t VALUES (1)")
                    arrive.finish()
                    for await _ in gate { break }
                    try await transaction.query("INSERT INTO t VALUES (2)")
                }
            }
        }
        for await _ in reached { break }
        task.cancel()
        open.finish()
        #expect(await task.value == .unavailable(.cancelled))
        #expect(try await database.value("SELECT pg_backend_pid() AS value") == backend)
        #expect(try await observer.value("SELECT count(*) AS value FROM t", as: Int64.self) == 0)
    }

    @Test func `In flight, again and again, they cost no connection`() async throws {
        try await observer.query("CREATE TABLE t (what text)")
        let backend: Int32 = try await database.value("SELECT pg_backend_pid() AS value")
        let blocked: Query = "SELECT pg_advisory_xact_lock(5)"
        let kinds: [(what: String, body: @Sendable (Database) async throws -> Void)] = [
            ("batch", { database in _ = try await database.batch(["INSERT INTO t VALUES ('batch')", blocked]) }),
            (
                "begun",
                { database in
                    try await database.transaction { transaction in
                        _ = try await transaction.batch(["INSERT INTO t VALUES ('begun')", blocked])
                        _ = try await transaction.query("INSERT INTO t VALUES ('begun')")
                    }
                }
            ),
            (
                "middle",
                { database in
                    try await database.transaction { transaction in
                        _ = try await transaction.query("INSERT INTO t VALUES ('middle')")
                        _ = try await transaction.query(blocked)
                    }
                }
            ),
            (
                "commit",
                { database in
                    try await database.transaction { transaction in
                        _ = try await transaction.commit(["INSERT INTO t VALUES ('commit')", blocked])
                    }
                }
            ),
            (
                "failing",
                { database in
                    try await database.transaction { transaction in
                        _ = try await transaction.batch(["SELECT 1", blocked, "SELECT 1 / 0"])
                    }
                }
            ),
        ]
        try await observer.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(5)")
            for round in 1...3 {
                for kind in kinds {
                    let task = Task<PostgresError?, Never> { [database] in
                        await outcome { try await kind.body(database) }
                    }
                    do { try await untilBlocked() } catch { Issue.record(error) }
                    task.cancel()
                    #expect(await task.value == .unknownOutcome, "\(kind.what) \(round)")
                    try await lease.query("SELECT pg_advisory_unlock(5)")
                    // The next has the same connection, when what was in flight is over and undone.
                    let next: Int32 = try await database.query("SELECT pg_backend_pid() AS value").one().decode("value")
                    #expect(next == backend, "\(kind.what) \(round)")
                    try await lease.query("SELECT pg_advisory_lock(5)")
                }
            }
        }
        // What was sent to its COMMIT stands, all else does not.
        let stands = try await observer.value("SELECT array_agg(what ORDER BY what) AS value FROM t", as: [String].self)
        #expect(stands == ["batch", "batch", "batch", "commit", "commit", "commit"])
    }

    @Test func `A lease that is cancelled in flight takes its session with it`() async throws {
        let task = Task<PostgresError?, Never> { [database] in
            await outcome {
                try await database.lease { lease throws(PostgresError) in
                    try await lease.query("SELECT pg_advisory_lock(6), pg_sleep(600)::text")
                }
            }
        }
        try await observer.wait(
            until: """
                SELECT count(*) = 1 AS value FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'
                """)
        task.cancel()
        #expect(await task.value == .unknownOutcome)
        try await observer.query("SELECT pg_advisory_xact_lock(6)")
    }

    @Test func `A storm of them leaves nothing behind`() async throws {
        try await observer.query("CREATE TABLE t (id bigint PRIMARY KEY)")
        let outcomes = await withTaskGroup(of: (Int64, PostgresError?).self) { group in
            for number in 1...400 as ClosedRange<Int64> {
                group.addTask { [database] in
                    let task = Task<PostgresError?, Never> {
                        await outcome {
                            if number.isMultiple(of: 2) {
                                try await database.query("INSERT INTO t VALUES (\(number))")
                            } else {
                                _ = try await database.grouped("INSERT INTO t VALUES (\(number))")
                            }
                        }
                    }
                    if number.isMultiple(of: 3) {
                        for _ in 0..<Int.random(in: 0..<50) { await Task.yield() }
                        task.cancel()
                    }
                    return (number, await task.value)
                }
            }
            return await group.reduce(into: [Int64: PostgresError?]()) { $0[$1.0] = $1.1 }
        }
        // What was in flight ends before what comes now.
        #expect(try await database.query("SELECT 1").count == 1)
        #expect(try await database.grouped("SELECT 1").count == 1)
        #expect(await counts() == (0, 0, false))
        let stands = Set(try await observer.value("SELECT array_agg(id) AS value FROM t", as: [Int64].self))
        for (number, error) in outcomes {
            switch error {
            case nil: #expect(stands.contains(number))
            case .unavailable(.cancelled): #expect(!stands.contains(number))
            case .unknownOutcome: break
            default: Issue.record("\(String(describing: error))")
            }
            if !number.isMultiple(of: 3) { #expect(error == nil) }
        }
    }
}
