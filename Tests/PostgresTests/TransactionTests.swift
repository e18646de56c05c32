import LatchkeyTesting
import Testing

@testable import Postgres

@Suite("Transactions", .freshDatabase, .timeLimit(.minutes(2)))
struct TransactionTests {
    struct Stop: Error {}

    let database = FreshDatabase.open { $0.maximumConnections = 1 }
    let observer = FreshDatabase.open()

    init() async throws {
        try await observer.query("CREATE TABLE t (id bigint PRIMARY KEY)")
    }

    private func ids() async throws -> [Int64] {
        try await observer.value("SELECT coalesce(array_agg(id ORDER BY id), '{}') AS value FROM t")
    }

    @Test func `It commits what its body did`() async throws {
        let touched = try await database.transaction { transaction in
            try await transaction.query("INSERT INTO t VALUES (1)")
            #expect(try await ids() == [])
            return try await transaction.batch(["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)"]).map(\.affected)
        }
        #expect(touched == [1, 1])
        #expect(try await ids() == [1, 2, 3])
    }

    @Test func `A body that throws has done nothing, and the connection is whole`() async throws {
        let backend: Int32 = try await database.value("SELECT pg_backend_pid() AS value")
        await #expect(throws: Stop.self) {
            try await database.transaction { transaction in
                try await transaction.query("INSERT INTO t VALUES (1)")
                throw Stop()
            }
        }
        #expect(try await ids() == [])
        #expect(try await database.value("SELECT pg_backend_pid() AS value") == backend)
    }

    @Test func `A body that asks nothing sends nothing`() async throws {
        #expect(try await database.transaction { _ in 5 } == 5)
        await #expect(throws: Stop.self) { try await database.transaction { _ in throw Stop() } }
        #expect(try await database.transaction { try await $0.commit() }.isEmpty)
    }

    @Test func `commit sends its statements with it and returns their results`() async throws {
        let results = try await database.transaction { transaction in
            try await transaction.query("INSERT INTO t VALUES (1)")
            let results = try await transaction.commit(["INSERT INTO t VALUES (2), (3)", "SELECT count(*) AS n FROM t"])
            #expect(try await ids() == [1, 2, 3])
            return results
        }
        #expect(results.map(\.affected) == [2, 1])
        #expect(try results[1].one().decode("n", as: Int64.self) == 3)
        let alone = try await database.transaction { try await $0.commit(["INSERT INTO t VALUES (4) RETURNING id"]) }
        #expect(try alone.map { try $0.one().decode("id", as: Int64.self) } == [4])
    }

    @Test func `Throwing after a commit undoes nothing`() async throws {
        await #expect(throws: Stop.self) {
            try await database.transaction { transaction in
                try await transaction.commit(["INSERT INTO t VALUES (1)"])
                throw Stop()
            }
        }
        #expect(try await ids() == [1])
    }

    @Test func `Nothing can be asked after a commit`() async throws {
        await #expect(throws: PostgresError.refused(sqlState: "25P01", constraint: nil)) {
            try await database.transaction { transaction in
                try await transaction.commit(["INSERT INTO t VALUES (1)"])
                try await transaction.query("INSERT INTO t VALUES (2)")
            }
        }
        #expect(try await ids() == [1])
    }

    @Test func `A refused commit is refused, and the connection is whole`() async throws {
        let backend: Int32 = try await database.value("SELECT pg_backend_pid() AS value")
        for statements: [Query] in [["INSERT INTO t VALUES (1)"], []] {
            await #expect(throws: PostgresError.refused(sqlState: "23505", constraint: "t_pkey")) {
                try await database.transaction { transaction in
                    if !statements.isEmpty { try await transaction.batch(statements) }
                    try await transaction.commit(["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (2)"])
                }
            }
        }
        #expect(try await ids() == [])
        #expect(try await database.value("SELECT pg_backend_pid() AS value") == backend)
    }

    @Test func `The commit of an aborted transaction is an error`() async throws {
        for first: [Query] in [["INSERT INTO t VALUES (1)"], []] {
            await #expect(throws: PostgresError.refused(sqlState: "25P02", constraint: nil)) {
                try await database.transaction { transaction in
                    if !first.isEmpty { try await transaction.batch(first) }
                    _ = try? await transaction.query("SELECT 1 / \(Int64(0))")
                }
            }
        }
        #expect(try await ids() == [])
        #expect(try await database.query("SELECT 1").count == 1)
    }

    @Test(arguments: ["SELECT nonsense", "SELECT 1 / 0"])
    func `After a swallowed error at its beginning nothing commits by itself`(text: String) async throws {
        await #expect(throws: PostgresError.refused(sqlState: "25P02", constraint: nil)) {
            try await database.transaction { transaction in
                _ = try? await transaction.query(Query(stringLiteral: text))
                try await transaction.query("INSERT INTO t VALUES (1)")
            }
        }
        #expect(try await ids() == [])
    }

    @Test func `A constraint that breaks at the commit is an error`() async throws {
        try await observer.query("CREATE TABLE d (id bigint CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        await #expect(throws: PostgresError.refused(sqlState: "23505", constraint: "once")) {
            try await database.transaction { transaction in
                try await transaction.batch(["INSERT INTO d VALUES (1)", "INSERT INTO d VALUES (1)"])
            }
        }
        #expect(try await observer.value("SELECT count(*) AS value FROM d", as: Int64.self) == 0)
        #expect(try await database.query("SELECT 1").count == 1)
    }

    @Test func `A warning in its midst is no harm, one with its commit is unknown`() async throws {
        try await observer.query(
            """
            CREATE FUNCTION warn() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'x'; RETURN ''; END $$
            """)
        _ = try await database.transaction { try await $0.batch(["INSERT INTO t VALUES (1)", "SELECT warn()"]) }
        await #expect(throws: PostgresError.unknownOutcome) {
            try await database.transaction { try await $0.commit(["INSERT INTO t VALUES (2)", "SELECT warn()"]) }
        }
        await #expect(throws: PostgresError.unknownOutcome) { try await database.batch(["SELECT warn()"]) }
        #expect(try await ids() == [1, 2])
        #expect(try await database.query("SELECT 1").count == 1)
    }

    @Test func `A COMMIT whose answer is lost is unknown`() async throws {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        let database = FreshDatabase.open { $0.connectionString = relay.connectionString }
        await #expect(throws: PostgresError.unknownOutcome) {
            try await database.transaction { transaction in
                try await transaction.query("INSERT INTO t VALUES (1)")
                // Prepared in a round trip of its own, so the answer that is lost is the COMMIT's only the second time.
                _ = try await transaction.batch(["SAVEPOINT a"])
                relay.set(.cut)
            }
        }
        relay.set(.open)
        _ = try await database.transaction { try await $0.query("INSERT INTO t VALUES (10)") }
        await #expect(throws: PostgresError.unknownOutcome) {
            try await database.transaction { transaction in
                try await transaction.query("INSERT INTO t VALUES (11)")
                relay.set(.cut)
            }
        }
        #expect(try await ids().suffix(2) == [10, 11])
        database.shutDown()
    }

    @Test func `A killed backend undoes everything, and nothing is said to be unknown that is not`() async throws {
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) {
            try await database.transaction { transaction in
                let backend: Int32 = try await transaction.query("SELECT pg_backend_pid() AS value").one().decode(
                    "value")
                try await transaction.query("INSERT INTO t VALUES (1)")
                try await observer.query("SELECT pg_terminate_backend(\(backend), 60000)")
                try await database.noticesEnd(of: backend)
            }
        }
        #expect(try await ids() == [])
        #expect(try await database.query("SELECT 1").count == 1)
    }

    @Test func `Who locks one row waits for who holds it`() async throws {
        let two = FreshDatabase.open()
        try await two.query("INSERT INTO t VALUES (1)")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await two.transaction { transaction in
                        let id = try await transaction.query("SELECT id FROM t FOR UPDATE").one().decode(
                            "id", as: Int64.self)
                        try await transaction.commit(["UPDATE t SET id = \(id + 1)"])
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await ids() == [21])
        two.shutDown()
    }
}
