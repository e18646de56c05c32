import Postgres
import Testing

@Suite("Values on their way to PostgreSQL and back", .freshDatabase, .timeLimit(.minutes(2)))
struct BindTests {
    let database = FreshDatabase.open()

    private func echo<T: PostgresValue>(_ value: T) async throws -> T {
        try await database.value("SELECT \(value) AS value")
    }

    @Test(arguments: [Int64.min, -1, 0, 1, .max])
    func `A bigint comes back`(value: Int64) async throws {
        #expect(try await echo(value) == value)
    }

    @Test(arguments: [Int32.min, -1, 0, .max])
    func `An integer comes back`(value: Int32) async throws {
        #expect(try await echo(value) == value)
    }

    @Test(arguments: [Int16.min, -1, 0, .max])
    func `A smallint comes back`(value: Int16) async throws {
        #expect(try await echo(value) == value)
    }

    @Test(arguments: [true, false])
    func `A boolean comes back`(value: Bool) async throws {
        #expect(try await echo(value) == value)
    }

    @Test(arguments: ["", "a", "Grüße", "e\u{301}", "\u{212A}", "👩‍👩‍👧", "'; DROP TABLE users; --", "$1", "\r\n"])
    func `A text comes back byte for byte`(value: String) async throws {
        #expect(try await Array(echo(value).utf8) == Array(value.utf8))
    }

    @Test(arguments: [[], [0], [0, 1, 0, 255], [UInt8](repeating: 0, count: 70_000)] as [[UInt8]])
    func `Bytes come back, NUL included`(value: [UInt8]) async throws {
        #expect(try await echo(Bytes(value)) == Bytes(value))
    }

    @Test(arguments: [-1, 0, 946_684_800_000_000, 1_753_000_000_123_456])
    func `An instant comes back to the microsecond`(value: Int64) async throws {
        #expect(try await echo(Instant(microseconds: value)).microseconds == value)
    }

    @Test func `An instant is what PostgreSQL calls it`() async throws {
        let text: String = try await database.value(
            "SELECT (\(Instant(microseconds: 1_000_001)) AT TIME ZONE 'UTC')::text AS value")
        #expect(text == "1970-01-01 00:00:01.000001")
        let instant: Instant = try await database.value("SELECT timestamptz '1999-12-31T23:59:59Z' AS value")
        #expect(instant == Instant(seconds: 946_684_799))
    }

    @Test(arguments: [[], [7], [Int64.min, 0, .max]] as [[Int64]])
    func `An array of bigints comes back`(value: [Int64]) async throws {
        #expect(try await echo(value) == value)
    }

    @Test func `Arrays of every type come back`() async throws {
        #expect(try await echo([] as [String]) == [])
        #expect(try await echo(["", "{}", "a,b", "NULL", "\"", "ü"]) == ["", "{}", "a,b", "NULL", "\"", "ü"])
        #expect(try await echo([Bytes([]), Bytes([0, 1])]) == [Bytes([]), Bytes([0, 1])])
        #expect(try await echo([true, false]) == [true, false])
        #expect(try await echo([Int16(-1)]) == [-1])
        #expect(try await echo([Int32(-1)]) == [-1])
        #expect(try await echo([Instant(seconds: 5)]) == [Instant(seconds: 5)])
    }

    @Test func `PostgreSQL reads an array as its own`() async throws {
        let sum: Int64 = try await database.value(
            "SELECT sum(n)::bigint AS value FROM unnest(\([1, 2, 3] as [Int64])) n")
        #expect(sum == 6)
        let length: Int32 = try await database.value("SELECT cardinality(\([] as [Int64])) AS value")
        #expect(length == 0)
    }

    @Test func `nil is NULL and NULL is nil`() async throws {
        let none: String? = nil
        #expect(try await database.value("SELECT \(none) IS NULL AS value", as: Bool.self))
        let row = try await database.query("SELECT \(none) AS a, \(Int64?.none) AS b, \("x" as String?) AS c").one()
        #expect(try row.decodeIfPresent("a", as: String.self) == nil)
        #expect(try row.decodeIfPresent("b", as: Int64.self) == nil)
        #expect(try row.decodeIfPresent("c", as: String.self) == "x")
    }

    @Test func `A NULL where a value is asked for names its column`() async throws {
        let row = try await database.query("SELECT NULL::bigint AS age").one()
        #expect(throws: PostgresError.undecodable(column: "age")) { try row.decode("age", as: Int64.self) }
    }

    @Test(arguments: [
        "1::integer", "'1'::text", "1.0::numeric", "now()", "'{1}'::bigint[]", "'a'::varchar", "'\\x01'::bytea",
    ])
    func `Another type than the one asked for names its column`(expression: String) async throws {
        let row = try await database.query(Query(stringLiteral: "SELECT \(expression) AS age")).one()
        #expect(throws: PostgresError.undecodable(column: "age")) { try row.decode("age", as: Int64.self) }
        #expect(throws: PostgresError.undecodable(column: "age")) { try row.decodeIfPresent("age", as: Int64.self) }
    }

    @Test func `A missing column is named`() async throws {
        let row = try await database.query("SELECT 1 AS a").one()
        #expect(throws: PostgresError.undecodable(column: "b")) { try row.decodeIfPresent("b", as: Int32.self) }
    }

    @Test(arguments: ["'{1,NULL}'::bigint[]", "'{{1,2},{3,4}}'::bigint[]"])
    func `An array that Swift cannot hold is refused`(expression: String) async throws {
        let row = try await database.query(Query(stringLiteral: "SELECT \(expression) AS ids")).one()
        #expect(throws: PostgresError.undecodable(column: "ids")) { try row.decode("ids", as: [Int64].self) }
    }

    @Test func `An infinite timestamp is refused`() async throws {
        let row = try await database.query("SELECT 'infinity'::timestamptz AS at").one()
        #expect(throws: PostgresError.undecodable(column: "at")) { try row.decode("at", as: Instant.self) }
    }

    @Test func `A text with NUL is refused and not cut`() async throws {
        await #expect(throws: PostgresError.refused(sqlState: "22021", constraint: nil)) { try await echo("a\0b") }
    }

    @Test func `One text with binds of two types is two statements`() async throws {
        let rows = try await database.batch([
            "SELECT \(Int64(5)) AS value", "SELECT \("five") AS value", "SELECT \(Instant(seconds: 5)) AS value",
        ])
        #expect(try rows[0].one().decode("value", as: Int64.self) == 5)
        #expect(try rows[1].one().decode("value", as: String.self) == "five")
        #expect(try rows[2].one().decode("value", as: Instant.self) == Instant(seconds: 5))
    }

    @Test func `A result knows its rows and how many were touched`() async throws {
        try await database.query("CREATE TABLE t (id bigint)")
        #expect(try await database.query("INSERT INTO t SELECT generate_series(1, 5)").affected == 5)
        let ids = try await database.query("SELECT id FROM t ORDER BY id").rows
            .map { try $0.decode("id", as: Int64.self) }
        #expect(ids == [1, 2, 3, 4, 5])
        #expect(try await database.query("SELECT id FROM t WHERE false").first == nil)
        await #expect(throws: PostgresError.unexpectedRowCount(5)) {
            try await database.query("SELECT id FROM t").one()
        }
        await #expect(throws: PostgresError.unexpectedRowCount(0)) {
            try await database.query("SELECT id FROM t WHERE false").one()
        }
    }

    @Test func `A bind of 8 MiB and a result of 32 MiB do not hang`() async throws {
        let large = Bytes((0..<8_388_608).map { UInt8(truncatingIfNeeded: $0) })
        #expect(try await echo(large) == large)
        let text: String = try await database.value("SELECT repeat('x', 33554432) AS value")
        #expect(text.utf8.count == 33_554_432)
    }

    @Test func `Many MiB both ways at once do not hang`() async throws {
        let large = Bytes([UInt8](repeating: 7, count: 262_144))
        let results = try await database.batch((0..<64).map { "SELECT \(large) AS value, \(Int64($0)) AS number" })
        for (number, result) in results.enumerated() {
            #expect(try result.one().decode("value") == large)
            #expect(try result.one().decode("number", as: Int64.self) == Int64(number))
        }
    }
}
