import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

/// `GET /admin/revocations`.
@Suite("The list of revocations")
struct ListedRevocationTests {
    private struct Listed: Equatable {
        let kind: String
        let id: String
    }

    private func listed(_ answer: TestNode.Answer) throws -> [Listed] {
        try #require(answer.status == 200, "\(answer.status)")
        return try #require(answer.json["items"]?.array).map {
            let item = try #require($0.object)
            // Only a key has no expiry, and only of a key it is known when.
            let times = item["kind"]?.string == "kid" ? ["kind", "id", "revoked_at"] : ["kind", "id", "expires_at"]
            #expect(item.members.map(\.name) == times)
            return Listed(kind: try #require(item["kind"]?.string), id: try #require(item["id"]?.string))
        }
    }

    /// All pages, and how many there were.
    private func pages(_ node: TestNode, _ query: String, _ bearer: String) async throws -> ([Listed], count: Int) {
        var (all, count, cursor) = ([Listed](), 0, "")
        repeat {
            let page = try await node.get("/admin/revocations?\(query)\(cursor)", bearer: bearer)
            #expect(page.header("cache-control") == "no-store")
            all += try listed(page)
            count += 1
            cursor = page.json["next"]?.string.map { "&after=\($0)" } ?? ""
        } while !cursor.isEmpty && count < 40
        return (all, count)
    }

    @Test func `shows what is revoked and neither expired nor lifted, newest first, page by page, kind by kind`()
        async throws
    {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            #expect(try await pages(it.node, "", try await scene.administrator()).0 == [])
            let (alice, bob) = (try await it.node.newUser("alice"), try await it.node.newUser("bob"))
            let keys = try await scene.keys(.published)
            try #require(keys.count >= 2)
            let carol = try await it.node.newUser("carol")
            #expect(try await it.node.revoke(carol.access).status == 200)
            #expect(try await it.node.revoke(alice.access).status == 200)
            #expect(try await scene.compromise(keys[0]).status == 202)
            #expect(try await scene.compromise(keys[1]).status == 202)
            #expect(try await it.node.revoke(bob.refresh).status == 200)
            #expect(try await scene.restore(keys[1]).status == 200)
            try await it.database.query(
                """
                UPDATE revocation_entries
                SET expires_at = clock_timestamp() - interval '1 second'
                WHERE id = \(try carol.tokenID)
                """)
            let wanted = [
                Listed(kind: "sid", id: try bob.sid.text), Listed(kind: "kid", id: keys[0]),
                Listed(kind: "jti", id: try alice.tokenID.text),
            ]
            let bearer = try await scene.administrator()
            for limit in 1...4 {
                let all = try await pages(it.node, "limit=\(limit)", bearer)
                #expect(all.0 == wanted, "\(limit)")
                #expect(all.count == (3 + limit - 1) / limit, "\(limit)")
            }
            for one in wanted {
                #expect(try await pages(it.node, "kind=\(one.kind)", bearer).0 == [one])
            }
            // For the time that an access token lives and 300 s.
            let first = try await it.node.get("/admin/revocations?kind=sid", bearer: bearer)
            let expiry = try #require(first.json["items"]?.array?.first?.object?["expires_at"]?.string)
            let now = try #require(it.node.installation.clock.now())
            let left = try AuditAdministration.instant(expiry).seconds - now.seconds
            #expect((880...900).contains(left))
        }
    }

    @Test func `looks at ten thousand for a page, and tells where the next one begins`() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            // The two that are asked for are the oldest; of the others the older half has expired.
            try await it.database.batch([
                """
                INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
                SELECT number % 8, number, CASE WHEN number <= 2 THEN 2 ELSE 1 END, gen_random_uuid(),
                       clock_timestamp() + CASE WHEN number BETWEEN 3 AND 15000 THEN -1 ELSE 1 END * interval '1 hour'
                FROM generate_series(1, 30000) number
                """,
                "UPDATE feed_head SET seq = 30000, digest = sha256('filled')",
                "INSERT INTO feed_batches (seq, digest) SELECT seq, digest FROM feed_head",
            ])
            let sessions = try await pages(it.node, "kind=sid", administrator)
            #expect(sessions.0.map(\.kind) == ["sid", "sid"])
            #expect((3...4).contains(sessions.count))
            let all = try await pages(it.node, "limit=1000", administrator)
            #expect(all.0.count == 15_002)
            #expect(Set(all.0.map(\.id)).count == 15_002)
            #expect(try await pages(it.node, "kind=kid", administrator).count == 1)
            // They name no session.
            try await it.database.query("UPDATE revocation_entries SET kind = 1")
        }
    }

    @Test(arguments: [nil, .jti, .kid] as [ListedEntry.Kind?])
    func `is read along the index, never sorted`(kind: ListedEntry.Kind?) async throws {
        try await TestInstallation.run { it in
            try await it.database.batch([
                """
                INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
                SELECT number % 8, number, 1, gen_random_uuid(), clock_timestamp() + interval '1 hour'
                FROM generate_series(1, 60000) number
                """,
                "UPDATE feed_head SET seq = 60000, digest = sha256('filled')",
                "INSERT INTO feed_batches (seq, digest) SELECT seq, digest FROM feed_head",
            ])
            // With the binds of `listed` in their order.
            try await it.database.query(
                """
                CREATE FUNCTION plan(statement text, ids boolean, keys boolean, kind smallint)
                RETURNS SETOF text LANGUAGE plpgsql
                AS 'BEGIN RETURN QUERY EXECUTE ''EXPLAIN (ANALYZE, TIMING off) '' || statement
                    USING ids, 9223372036854775807, 0::bigint, kind, 101::bigint, keys, 9223372036854775807, 0::bigint,
                          3::smallint, 101::bigint, 101::bigint; END'
                """)
            func plan(_ query: Query) async throws -> String {
                try await it.database.transaction { transaction in
                    try await transaction.query(RevocationSQL.walkInOrder)
                    return try await transaction.query(
                        """
                        SELECT plan AS line
                        FROM plan(\(query.sql), \(kind != .kid), \(kind == nil || kind == .kid), \(kind?.number))
                        """
                    ).rows.map { try $0.decode("line", as: String.self) }.joined(separator: "\n")
                }
            }
            let page = try await plan(RevocationSQL.listed(before: .max, from: 0, kind: kind, limit: 101))
            let isRead = page.split(separator: "\n").contains {
                $0.contains("on revocation_entries") && !$0.contains("never executed")
            }
            #expect(isRead == (kind != .kid), "\(page)")
            if isRead { #expect(page.contains("Merge Append"), "\(page)") }
            // What is sorted is the page, of both tables together.
            #expect(page.ranges(of: "Sort Method").count <= 1, "\(page)")
            #expect(!page.contains("Bitmap") && !page.contains("Seq Scan on revocation_entries"), "\(page)")
        }
    }

    @Test(arguments: [
        "limit=0", "limit=1001", "limit=+5", "limit=", "limit=x", "after=x", "after=", "after=0", "after=-1",
        "after=1.5",
        "after=9223372036854775808", "kind=", "kind=x", "kind=JTI", "kind=lift", "kind=1",
    ])
    func `refuses what is no page of it`(query: String) async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let answer = try await it.node.get("/admin/revocations?\(query)", bearer: administrator)
            #expect(answer.status == 422)
            #expect(answer["code"] == "invalid-field")
        }
    }
}
