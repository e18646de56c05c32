import LatchkeyTesting
import Testing

@testable import Postgres

extension GroupLaneTests {
    /// Both lanes are held while their groups form; both groups in their middles, until each has locked the rows that the
    /// other comes to next; and at their ends, until each has come to those. Whoever waited for a lock there would wait for
    /// one who waits for him.
    @Test func `Two nodes' groups over the same rows in opposite order neither wait nor deadlock`() async throws {
        let half = 12
        try await database.query("INSERT INTO t SELECT generate_series(1, \(Int64(2 * half)))")
        func touch(_ id: Int) -> Query {
            """
            UPDATE t SET n = n + 1
            WHERE id = (SELECT id FROM t WHERE id = \(Int64(id)) FOR UPDATE SKIP LOCKED)
            """
        }
        let (middle, end): (Query, Query) = (
            "SELECT pg_advisory_xact_lock_shared(2)::text AS value",
            "SELECT pg_advisory_xact_lock_shared(3)::text AS value"
        )
        let (up, down) = (Array(1...half), Array((half + 1...2 * half).reversed()))
        let (other, holder, watch) = (FreshDatabase.open(), FreshDatabase.open(), FreshDatabase.open())
        let outcomes = try await holder.lease { lease throws(PostgresError) in
            try await lease.query("SELECT pg_advisory_lock(1), pg_advisory_lock(2), pg_advisory_lock(3)")
            return await withTaskGroup(of: (node: Int, number: Int, Result<ResultSet, PostgresError>).self) { group in
                for (node, database, ids) in [(0, database, (up, down)), (1, other, (down, up))] {
                    group.addTask { (node, -1, await database.groupedOutcome(Self.waitBesideOthers)) }
                    await waitUntilWaiting(database, 0)
                    let members = ids.0.map(touch) + [middle] + ids.1.map(touch) + [end]
                    for (number, member) in members.enumerated() {
                        group.addTask { (node, number, await database.groupedOutcome(member)) }
                        await waitUntilWaiting(database, number + 1)
                    }
                }
                _ = try? await lease.query("SELECT pg_advisory_unlock(1)")
                for place in [2, 3] {
                    // Not for ever: one that was refused over a deadlock never comes to its end.
                    _ = await becomesTrue(within: .seconds(10)) { (try? await watch.bothWait(for: place)) == true }
                    _ = try? await lease.query("SELECT pg_advisory_unlock(\(Int64(place)))")
                }
                return await group.reduce(into: [[Int: Result<ResultSet, PostgresError>]](repeating: [:], count: 2)) {
                    $0[$1.node][$1.number] = $1.2
                }
            }
        }
        for (database, outcomes) in zip([database, other], outcomes) {
            // Its own half each has, and of the other's half it has waited for none.
            let touched = (0...2 * half).map { outcomes[$0].flatMap { try? $0.get().affected } }
            #expect(touched == Array(repeating: 1, count: half + 1) + Array(repeating: 0, count: half))
            let lane = try #require(try await database.load().lanes.first { $0.lane == .hot })
            #expect(lane.retriedAlone == 0)
            #expect(lane.groups.statements == UInt64(2 * half + 3))
            #expect(lane.groups.buckets.reduce(0, +) == 2, "the one that held the lane, and one group")
        }
        #expect(try await watch.value("SELECT sum(n)::bigint AS value FROM t", as: Int64.self) == Int64(2 * half))
        for database in [other, holder, watch] { database.shutDown() }
    }

    /// Holds the lane as `wait` does, and any number of nodes' at once.
    private static let waitBesideOthers: Query = "SELECT pg_advisory_xact_lock_shared(1)::text AS value"
}

extension Database {
    /// Whether two wait for the advisory lock of this number.
    fileprivate func bothWait(for number: Int) async throws -> Bool {
        try await value(
            """
            SELECT count(*) = 2 AS value
            FROM pg_locks JOIN pg_database ON pg_database.oid = database
            WHERE datname = current_database() AND locktype = 'advisory' AND objid = \(Int64(number)) AND NOT granted
            """)
    }
}
