import LatchkeyTesting
import Testing

@testable import Postgres

/// Statements that wait for this lock hold the lane until the test lets go of it.
private let wait: Query = "SELECT pg_advisory_xact_lock(1)::text AS value"

@Suite("The grouped lane", .freshDatabase, .timeLimit(.minutes(2)))
struct GroupLaneTests {
    let database = FreshDatabase.open()

    init() async throws {
        try await database.query(
            "CREATE TABLE t (id bigint CONSTRAINT an_id_stands_once PRIMARY KEY, n bigint DEFAULT 0)")
    }

    /// Lets `members` pile up behind a statement that waits, so that they leave together.
    private func together(
        _ members: [Query], on database: Database? = nil
    ) async throws -> [Result<ResultSet, PostgresError>] {
        let database = database ?? self.database
        return try await database.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(1)")
            return await withTaskGroup(of: (Int, Result<ResultSet, PostgresError>).self) { group in
                group.addTask { (-1, await database.groupedOutcome(wait)) }
                await waitUntilWaiting(database, 0)
                for (number, member) in members.enumerated() {
                    group.addTask { (number, await database.groupedOutcome(member)) }
                    await waitUntilWaiting(database, number + 1)
                }
                _ = try? await lease.query("SELECT pg_advisory_unlock(1)")
                var outcomes = [Int: Result<ResultSet, PostgresError>]()
                for await (number, outcome) in group { outcomes[number] = outcome }
                return members.indices.compactMap { outcomes[$0] }
            }
        }
    }

    /// Until a group is in flight and `count` members wait behind it.
    func waitUntilWaiting(_ database: Database, _ count: Int) async {
        func look() async -> Bool {
            await withCheckedContinuation { continuation in
                let posted = database.reactor.post { core in
                    let lane = core.lanes[GroupedLane.hot.rawValue]
                    continuation.resume(returning: lane.isInFlight && lane.waitingCount == count)
                }
                if !posted { continuation.resume(returning: true) }
            }
        }
        while await !look() { try? await Task.sleep(for: .milliseconds(1)) }
    }

    @Test func `A statement alone is answered`() async throws {
        let result = try await database.grouped("INSERT INTO t VALUES (\(Int64(1))) RETURNING id")
        #expect(try result.one().decode("id", as: Int64.self) == 1)
    }

    @Test func `Results come back to those who asked`() async throws {
        let outcomes = try await together((0..<50).map { "SELECT \(Int64($0)) AS value" })
        for (number, outcome) in outcomes.enumerated() {
            #expect(try outcome.get().one().decode("value", as: Int64.self) == Int64(number))
        }
    }

    @Test func `Hundreds at once are few transactions, in the order in which they came`() async throws {
        let members: [Query] = (1...400).map { "INSERT INTO t VALUES (\(Int64($0)))" }
        for outcome in try await together(members) { #expect(try outcome.get().affected == 1) }
        let size = members.reduce(0) { $0 + $1.wireSize }
        let groups: Int64 = try await database.value("SELECT count(DISTINCT xmin::text) AS value FROM t")
        #expect(groups <= Int64(size / (GroupLane.maximumBytes - members[0].wireSize) + 1))
        // A group's rows follow each other.
        let changes: Int64 = try await database.value(
            """
            SELECT count(*) AS value
            FROM (SELECT xmin::text <> lag(xmin::text) OVER (ORDER BY id) AS changed FROM t) AS rows
            WHERE changed
            """)
        #expect(changes == groups - 1)
    }

    @Test func `A group and its sync leave in one send below 8 KiB`() async throws {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        let database = FreshDatabase.open { $0.connectionString = relay.connectionString }
        let padding = Bytes([UInt8](repeating: 1, count: 100))
        let members: [Query] = (1...300).map { "INSERT INTO t SELECT \(Int64($0)) WHERE length(\(padding)) > 0" }
        _ = try await database.grouped(members[0])  // prepares it
        _ = try await database.query("DELETE FROM t")
        _ = relay.takeSent()
        for outcome in try await together(members, on: database) { #expect(try outcome.get().affected == 1) }
        let groups = relay.takeSent().filter { $0.count > 2000 }
        #expect(groups.count >= 300 * 120 / 8192)
        for bytes in groups {
            #expect(bytes.count <= 8192)
            #expect(bytes.first == UInt8(ascii: "B"))
            #expect(bytes.suffix(5) == [UInt8(ascii: "S"), 0, 0, 0, 4])
        }
        database.shutDown()
    }

    @Test func `A bad statement fails alone, and its neighbours succeed once`() async throws {
        try await database.query("INSERT INTO t VALUES (3)")
        let outcomes = try await together([
            "INSERT INTO t VALUES (\(Int64(1)))", "INSERT INTO t VALUES (\(Int64(2)))", "SELECT 1 / \(Int64(0))",
            "INSERT INTO t VALUES (\(Int64(3)))", "UPDATE t SET n = n + 1 WHERE id = 3",
            "INSERT INTO t VALUES (\(Int64(4))) RETURNING id",
        ])
        #expect(
            outcomes.map(\.error) == [
                nil, nil, .refused(sqlState: "22012", constraint: nil),
                .refused(sqlState: "23505", constraint: "an_id_stands_once"), nil, nil,
            ])
        #expect(try outcomes[5].get().one().decode("id", as: Int64.self) == 4)
        let ids: [Int64] = try await database.value("SELECT array_agg(id ORDER BY id) AS value FROM t")
        #expect(ids == [1, 2, 3, 4])
        #expect(try await database.value("SELECT n AS value FROM t WHERE id = 3", as: Int64.self) == 1)
    }

    @Test func `A statement that cannot be prepared fails alone`() async throws {
        let outcomes = try await together([
            "INSERT INTO t VALUES (1)", "SELECT nonsense FROM nowhere", "INSERT INTO t VALUES (2)",
        ])
        #expect(outcomes.map(\.error) == [nil, .refused(sqlState: "42P01", constraint: nil), nil])
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 2)
    }

    @Test func `A constraint that breaks at the commit is nobody's success`() async throws {
        try await database.query(
            "CREATE TABLE d (id bigint CONSTRAINT deferred_id UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        let outcomes = try await together([
            "INSERT INTO d VALUES (1)", "INSERT INTO d VALUES (1)", "INSERT INTO d VALUES (2)",
        ])
        let refused = PostgresError.refused(sqlState: "23505", constraint: "deferred_id")
        #expect(outcomes.filter { $0.error == refused }.count == 1)
        #expect(outcomes.filter { $0.error == nil }.count == 2)
        #expect(outcomes[2].error == nil)
        let ids: [Int64] = try await database.value("SELECT array_agg(id ORDER BY id) AS value FROM d")
        #expect(ids == [1, 2])
        #expect(try await database.grouped("SELECT 1").count == 1)
    }

    @Test func `A locked row is skipped, and its neighbours are not`() async throws {
        try await database.query("INSERT INTO t VALUES (1), (2)")
        func touch(_ id: Int64) -> Query {
            "UPDATE t SET n = n + 1 WHERE id = (SELECT id FROM t WHERE id = \(id) FOR UPDATE SKIP LOCKED)"
        }
        try await database.transaction { transaction in
            try await transaction.query("SELECT id FROM t WHERE id = 1 FOR UPDATE")
            async let one = database.grouped(touch(1))
            async let two = database.grouped(touch(2))
            let touched = try await (one.affected, two.affected)
            #expect(touched == (0, 1))
        }
    }

    @Test func `A killed backend leaves every member of its group unknown, and only those`() async throws {
        let helper = FreshDatabase.open()
        let holder = FreshDatabase.open()
        try await helper.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(2)")
            async let outcomes = together([
                "INSERT INTO t VALUES (1)", "SELECT pg_advisory_xact_lock(2)::text", "INSERT INTO t VALUES (2)",
            ])
            do {
                // The lane's backend, and no other, waits for that lock.
                let blocked: Query = """
                    FROM pg_locks JOIN pg_database ON pg_database.oid = database
                    WHERE datname = current_database() AND locktype = 'advisory' AND objid = 2 AND NOT granted
                    """
                try await holder.wait(until: "SELECT count(*) = 1 AS value \(blocked)")
                async let late = database.groupedOutcome("INSERT INTO t VALUES (3)")
                await waitUntilWaiting(database, 1)
                try await holder.query("SELECT pg_terminate_backend(pid) \(blocked)")
                #expect(try await outcomes.map(\.error) == [.unknownOutcome, .unknownOutcome, .unknownOutcome])
                #expect(await late.error == nil)
            } catch {
                Issue.record(error)
            }
        }
        #expect(try await database.value("SELECT array_agg(id) AS value FROM t", as: [Int64].self) == [3])
        #expect(try await database.grouped("INSERT INTO t VALUES (4)").affected == 1)
        helper.shutDown()
        holder.shutDown()
    }

    @Test func `A warning leaves every member of the group unknown, a notice does not`() async throws {
        try await database.query(
            """
            CREATE FUNCTION say(level text) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN
                IF level = 'warning' THEN RAISE WARNING 'x'; ELSE RAISE NOTICE 'x'; END IF;
                RETURN level;
            END $$
            """)
        let quiet = try await together(["INSERT INTO t VALUES (1)", "SELECT say('notice')"])
        #expect(quiet.map(\.error) == [nil, nil])
        let loud = try await together(["INSERT INTO t VALUES (2)", "SELECT say('warning')", "INSERT INTO t VALUES (3)"])
        #expect(loud.map(\.error) == [.unknownOutcome, .unknownOutcome, .unknownOutcome])
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 3)
        let after = try await together(["INSERT INTO t VALUES (4)"])
        #expect(after.map(\.error) == [nil])
    }

    @Test func `A warning that comes with the commit leaves the outcome unknown`() async throws {
        try await database.batch([
            """
            CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE WARNING 'x'; RETURN NULL; END $$
            """
        ])
        try await database.query(
            """
            CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION warn()
            """)
        await #expect(throws: PostgresError.unknownOutcome) { try await database.grouped("INSERT INTO t VALUES (1)") }
        await #expect(throws: PostgresError.unknownOutcome) { try await database.query("INSERT INTO t VALUES (2)") }
        await #expect(throws: PostgresError.unknownOutcome) {
            try await database.transaction { try await $0.query("INSERT INTO t VALUES (3)") }
        }
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 3)
    }

    @Test func `A table that has changed is prepared for anew`() async throws {
        try await database.query("INSERT INTO t VALUES (1)")
        #expect(try await database.grouped("SELECT * FROM t").one().decode("id", as: Int64.self) == 1)
        try await database.query("ALTER TABLE t ADD COLUMN m bigint DEFAULT 7")
        for _ in 0..<2 {
            #expect(try await database.grouped("SELECT * FROM t").one().decode("m", as: Int64.self) == 7)
        }
    }

    @Test func `Large members do not hang the lane`() async throws {
        let large = Bytes([UInt8](repeating: 7, count: 300_000))
        let outcomes = try await together((0..<8).map { _ in "SELECT \(large) AS value" })
        for outcome in outcomes { #expect(try outcome.get().one().decode("value") == large) }
    }

    @Test func `Who comes when the lane is full is refused`() async throws {
        let small = FreshDatabase.open { $0.maximumWaiting = 2 }
        try await database.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(1)")
            async let first = small.groupedOutcome(wait)
            await waitUntilWaiting(small, 0)
            async let second = small.groupedOutcome("SELECT 1")
            async let third = small.groupedOutcome("SELECT 1")
            await waitUntilWaiting(small, 2)
            #expect(await small.groupedOutcome("SELECT 1").error == .unavailable(.tooManyWaiting))
            try await lease.query("SELECT pg_advisory_unlock(1)")
            #expect(await [first.error, second.error, third.error] == [nil, nil, nil])
        }
        small.shutDown()
    }

    @Test func `One lane does not wait for the other`() async throws {
        try await database.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(1)")
            async let blocked = database.groupedOutcome(wait)
            await waitUntilWaiting(database, 0)
            #expect(try await database.grouped("SELECT 1", in: .revocations).count == 1)
            try await lease.query("SELECT pg_advisory_unlock(1)")
            #expect(await blocked.error == nil)
        }
    }
}
