import Foundation
import Testing

@testable import Postgres

@Suite("Values in errors", .freshDatabase, .timeLimit(.minutes(2)))
struct SecrecyTests {
    let database = FreshDatabase.open()

    init() async throws {
        try await database.batch([
            """
            CREATE TABLE t (
                name text CONSTRAINT a_name_is_taken UNIQUE CONSTRAINT a_name_is_short CHECK (length(name) < 20),
                code varchar(5), number integer, mark text
            )
            """,
            """
            CREATE FUNCTION complain(text) RETURNS text LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no %', $1 USING DETAIL = $1, HINT = $1, CONSTRAINT = 'a_rule'; END $$
            """,
        ])
        try await database.query("INSERT INTO t (name) VALUES (\("canary"))")
        try await database.query("INSERT INTO t (mark) VALUES (\("canary"))")
    }

    private static let cases: [(statement: Query, state: String)] = [
        ("INSERT INTO t (name) VALUES (\("canary"))", "23505"),
        ("INSERT INTO t (name) VALUES (\("canary canary canary"))", "23514"),
        ("INSERT INTO t (code) VALUES (\("canary"))", "22001"), ("SELECT \("canary")::integer", "22P02"),
        ("SELECT \("canary")::timestamptz", "22007"), ("SELECT \("canary")::uuid", "22P02"),
        ("SELECT \("canary\u{0}")", "22021"), ("SELECT \(Bytes(Array("canary\u{FF}".utf8)))::text::jsonb", "22P02"),
        ("SELECT complain(\("canary"))", "P0001"), ("SELECT * FROM t WHERE mark ~ (\("canary") || '(')", "2201B"),
    ]

    private func shows(_ error: any Error) -> String {
        var dumped = ""
        dump(error, to: &dumped)
        return "\(error) \(String(reflecting: error)) \(error.localizedDescription) \(dumped)"
    }

    @Test func `Neither the server's words nor a value are in a refusal, whatever it is for`() async throws {
        for (statement, state) in Self.cases {
            for lane in ["pool", "lane"] {
                let error = await #expect(throws: PostgresError.self) {
                    _ = try await lane == "pool" ? database.query(statement) : database.grouped(statement)
                }
                guard let error else { continue }
                #expect(error.sqlState == state)
                #expect(!shows(error).contains("canary"))
                #expect(shows(error).contains(state))
            }
        }
    }

    @Test func `The constraint is told by its name`() async throws {
        for (statement, name) in [
            (Self.cases[0].statement, "a_name_is_taken"), (Self.cases[1].statement, "a_name_is_short"),
            (Self.cases[8].statement, "a_rule"),
        ] {
            let error = await #expect(throws: PostgresError.self) { try await database.query(statement) }
            #expect(error?.constraint == name)
        }
    }

    @Test func `A row that cannot be decoded names the column and not what stands in it`() async throws {
        let row = try await database.query("SELECT mark, number FROM t WHERE mark IS NOT NULL").one()
        let failures: [(String, () throws -> Void)] = [
            ("mark", { _ = try row.decode("mark", as: Int64.self) }),
            ("mark", { _ = try row.decode("mark", as: Bytes.self) }),
            ("number", { _ = try row.decode("number", as: Int32.self) }),
            ("number", { _ = try row.decodeIfPresent("number", as: Int64.self) }),
            ("nothing", { _ = try row.decode("nothing", as: String.self) }),
        ]
        for (column, decode) in failures {
            let error = #expect(throws: PostgresError.undecodable(column: column)) { try decode() }
            if let error {
                #expect(shows(error).contains(column))
                #expect(!shows(error).contains("canary"))
            }
        }
        #expect(try row.decodeIfPresent("number", as: Int32.self) == nil)
    }

    @Test func `A connection string and its password are in no description`() {
        let configuration = DatabaseConfiguration(connectionString: "host=a password=canary")
        #expect(!"\(configuration) \(String(describing: configuration))".contains("canary"))
        #expect(!"\(String(describing: ServerTarget("host=a password=canary")))".contains("canary"))
    }
}
