import Testing

@testable import Postgres

@Suite("Prepared statements", .freshDatabase, .timeLimit(.minutes(2)))
struct PreparedStatementTests {
    let database = FreshDatabase.open { $0.maximumConnections = 1 }

    init() async throws {
        try await database.query("CREATE TABLE t (id bigint)")
        try await database.query("INSERT INTO t VALUES (1)")
    }

    private func count() async throws -> Int64 {
        try await database.value("SELECT count(*) AS value FROM pg_prepared_statements")
    }

    @Test func `Each is prepared once`() async throws {
        let before = try await count()
        for number in 0..<20 as Range<Int64> { _ = try await database.query("SELECT id FROM t WHERE id = \(number)") }
        #expect(try await count() == before + 1)
        // Another type of bind is another statement.
        _ = try await database.query("SELECT id FROM t WHERE id = \(Int32(1))")
        #expect(try await count() == before + 2)
    }

    @Test func `A table that changes under them is read anew, unseen by the caller, in both lanes`() async throws {
        for column in ["a", "b", "c"] {
            #expect(try await database.query("SELECT * FROM t").count == 1)
            #expect(try await database.grouped("SELECT * FROM t").count == 1)
            try await database.query(Query(stringLiteral: "ALTER TABLE t ADD COLUMN \(column) bigint DEFAULT 7"))
            #expect(try await database.query("SELECT * FROM t").one().decode(column, as: Int64.self) == 7)
            #expect(try await database.grouped("SELECT * FROM t").one().decode(column, as: Int64.self) == 7)
        }
    }

    @Test func `A write that runs again is done once`() async throws {
        func insert(_ id: Int64) -> Query { "INSERT INTO t SELECT \(id) RETURNING *" }
        _ = try await database.query(insert(2))
        try await database.query("ALTER TABLE t ADD COLUMN a bigint")
        #expect(try await database.query(insert(3)).count == 1)
        #expect(try await database.batch([insert(4), insert(5)]).map(\.count) == [1, 1])
        try await database.query("ALTER TABLE t DROP COLUMN a")
        #expect(try await database.batch([insert(6), insert(7)]).map(\.count) == [1, 1])
        let ids: [Int64] = try await database.value("SELECT array_agg(id ORDER BY id) AS value FROM t")
        #expect(ids == [1, 2, 3, 4, 5, 6, 7])
    }

    @Test func `A statement that the server has forgotten is prepared again`() async throws {
        for _ in 0..<3 {
            #expect(try await database.query("SELECT id FROM t").count == 1)
            try await database.query("DEALLOCATE ALL")
            #expect(try await database.query("SELECT id FROM t").count == 1)
        }
    }

    @Test func `A transaction whose plan is stale is refused whole, and works the next time`() async throws {
        _ = try await database.query("SELECT * FROM t")
        try await database.query("ALTER TABLE t ADD COLUMN a bigint")
        func insertAndRead() async throws {
            try await database.transaction { transaction in
                try await transaction.query("INSERT INTO t VALUES (2)")
                try await transaction.query("SELECT * FROM t")
            }
        }
        await #expect(throws: PostgresError.refused(sqlState: "0A000", constraint: nil)) { try await insertAndRead() }
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 1)
        try await insertAndRead()
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 2)
    }

    @Test func `What is refused for good is not tried for ever`() async throws {
        try await database.batch([
            """
            CREATE FUNCTION refuse() RETURNS text LANGUAGE plpgsql AS $$
            BEGIN PERFORM nextval('tries'); RAISE feature_not_supported; END $$
            """,
            "CREATE SEQUENCE tries",
        ])
        await #expect(throws: PostgresError.refused(sqlState: "0A000", constraint: nil)) {
            try await database.query("SELECT refuse()")
        }
        #expect(try await database.value("SELECT nextval('tries') AS value", as: Int64.self) == 3)
        await #expect(throws: PostgresError.refused(sqlState: "0A000", constraint: nil)) {
            try await database.grouped("SELECT refuse()")
        }
    }

    @Test func `A table that changes for ever does not fill the server`() async throws {
        try await database.lease(timeout: 60_000_000_000) { lease throws(PostgresError) in
            for number in 0..<(PreparedStatements.maximum + 40) {
                try await lease.query(number.isMultiple(of: 2) ? "ALTER TABLE t ADD a int" : "ALTER TABLE t DROP a")
                #expect(try await lease.query("SELECT * FROM t").count == 1)
            }
        }
        #expect(try await count() <= Int64(PreparedStatements.maximum))
    }

    @Test func `A new connection prepares for itself`() async throws {
        let other = FreshDatabase.open()
        for _ in 0..<2 {
            let backend: Int32 = try await database.value("SELECT pg_backend_pid() AS value")
            try await other.query("SELECT pg_terminate_backend(\(backend), 60000)")
            #expect(try await database.query("SELECT id FROM t").count == 1)
        }
        other.shutDown()
    }

    @Test func `There are never more than the maximum, in a transaction neither`() async throws {
        try await database.transaction { transaction in
            for number in 0..<(PreparedStatements.maximum + 50) {
                try await transaction.query(Query(stringLiteral: "SELECT \(number) FROM t"))
            }
        }
        let held = try await count()
        #expect(held >= 50 && held <= Int64(PreparedStatements.maximum))
        #expect(try await database.value("SELECT count(*) AS value FROM t", as: Int64.self) == 1)
    }

    @Test func `One batch may have more statements than that`() async throws {
        let many = (0..<PreparedStatements.maximum + 20).map { Query(stringLiteral: "SELECT \($0) FROM t") }
        #expect(try await database.batch(many).count == many.count)
        #expect(try await database.batch(many).count == many.count)
    }
}
