import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

/// A node that starts reads the list page by page, each within a deadline. Behind a restore, or a storm of revocations,
/// PostgreSQL has no statistics of it, and takes a page for the whole list.
@Suite("The pages of the list")
struct ListPagesTests {
    private static let count: Int64 = 60_000

    private static let fill: [Query] = [
        """
        INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
        SELECT number % 8, number, 1, gen_random_uuid(), clock_timestamp() + interval '10 minutes'
        FROM generate_series(1, \(count)) number
        """,
        "UPDATE feed_head SET seq = \(count), digest = sha256('filled')",
        "INSERT INTO feed_batches (seq, digest) SELECT seq, digest FROM feed_head",
    ]

    @Test(arguments: [nil, 40_000] as [Int64?])
    func `are read along the index before PostgreSQL knows how long it is`(end: Int64?) async throws {
        try await TestInstallation.run { it in
            try await it.database.batch(Self.fill)
            try await it.database.query(
                """
                CREATE FUNCTION plan(statement text, after bigint, through bigint, how_many bigint)
                RETURNS SETOF text LANGUAGE plpgsql
                AS 'BEGIN RETURN QUERY EXECUTE ''EXPLAIN '' || statement USING after, through, how_many; END'
                """)
            let page = RevocationSQL.entries(after: 0, through: end, limit: RevocationList.page)
            let plan = try await it.database.transaction { transaction in
                try await transaction.query(RevocationSQL.walkInOrder)
                return try await transaction.query(
                    "SELECT plan AS line FROM plan(\(page.sql), 0, \(end), \(RevocationList.page))"
                ).rows.map { try $0.decode("line", as: String.self) }
            }
            #expect(plan.contains { $0.contains("Merge Append") }, "\(plan)")
            #expect(!plan.contains { $0.contains("->  Sort") || $0.contains("Bitmap") }, "\(plan)")
        }
    }

    @Test func `are all of it`() async throws {
        try await TestInstallation.run { it in
            try await it.database.batch(Self.fill)
            let ids = try await it.database.query("SELECT id FROM revocation_entries").rows.map {
                try $0.decode("id", as: UniqueID.self)
            }
            #expect(ids.count == Self.count)
            let list = it.node.installation.revocations
            #expect(await becomesTrue { list.position?.seq == Self.count })
            #expect(ids.allSatisfy(list.contains))
        }
    }
}
