import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

/// The decisions that stand in SQL, by tables: over rows and now, without a clock.
@Suite("The functions of the guess limits", .timeLimit(.minutes(8)))
struct GuessFunctionTests {
    private static func withDatabase(_ body: (Database) async throws -> Void) async throws {
        try await TestCluster.withDatabase(migrations: Migrations.all) { connectionString in
            let database = Database.patient(connectionString)
            defer { database.shutDown() }
            try await body(database)
        }
    }

    /// Ages of slots in seconds (negative: from the future), the limit, and the seconds to wait; nil: a slot is free.
    static let waits: [(ages: [Int64], limit: Int64, wait: Int64?)] = [
        ([], 1, nil), ([0], 1, 900), ([899], 1, 1), ([900], 1, nil), ([901], 1, nil), ([1_000_000], 1, nil),
        ([10], 2, nil), ([10, 5], 2, 890), ([900, 5], 2, nil), ([899, 5], 2, 1), ([5, 10], 2, 890),
        // More than a lowered limit: the newest two of four must have left but one.
        ([40, 30, 20, 10], 2, 880), ([899, 898, 20, 10], 3, 2), ([899, 898, 20], 2, 2),
        // From the future: as if taken now.
        ([-3600], 1, 900), ([-3600], 2, nil), ([-3600, 10], 2, 890), ([-3600, -7200, 10], 2, 900),
        (Array(repeating: 7, count: 10), 10, 893), (Array(repeating: 7, count: 9), 10, nil),
    ]

    @Test func `tell how long until a slot is free`() async throws {
        try await Self.withDatabase { database in
            let now = Instant(seconds: 1_800_000_000)
            for (ages, limit, wait) in Self.waits {
                let row = try await database.query(
                    """
                    SELECT extract(epoch FROM guess_wait(\(ages.map { now - $0 }), \(limit), \(now)))::bigint AS wait
                    """
                ).one()
                #expect(try row.decodeIfPresent("wait", as: Int64.self) == wait, "\(ages) \(limit)")
            }
        }
    }

    @Test func `let a slot go on the microsecond`() async throws {
        try await Self.withDatabase { database in
            let taken = Instant(seconds: 1_800_000_000)
            for (microseconds, isFree) in [(899_999_999, false), (900_000_000, true)] as [(Int64, Bool)] {
                let now = Instant(microseconds: taken.microseconds + microseconds)
                let row = try await database.query("SELECT guess_wait(\([taken]), 1, \(now)) IS NULL AS free").one()
                #expect(try row.decode("free") == isFree)
            }
        }
    }

    private static func device(_ number: Int) -> UniqueID {
        .version7(millisecondsSince1970: 1_000 + Int64(number), random: [UInt8](repeating: 0, count: 10))
    }

    /// Devices, numbered by age, one that shows its token, and those that are known then, by place.
    static let joins: [(known: [Int], shows: Int, then: [Int])] = [
        ([1], 1, [1]), ([1], 2, [1, 2]), ([2], 1, [2, 1]), (Array(1...8), 20, Array(1...8) + [20]),
        (Array(1...9), 5, Array(1...9)), (Array(1...9), 20, [20] + Array(2...9)), (Array(1...9), 0, Array(1...9)),
        ([20] + Array(2...9), 1, [20] + Array(2...9)), ([20] + Array(2...9), 21, [20, 21] + Array(3...9)),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], 10, [9, 8, 7, 6, 5, 4, 3, 2, 10]),
    ]

    @Test func `know the nine newest devices, the tenth in the place of the oldest`() async throws {
        try await Self.withDatabase { database in
            for (known, shows, then) in Self.joins {
                let row = try await database.query(
                    "SELECT guess_devices_with(\(known.map(Self.device)), \(Self.device(shows))) AS devices"
                ).one()
                #expect(try row.decode("devices", as: [UniqueID].self) == then.map(Self.device), "\(known) \(shows)")
            }
        }
    }

    @Test func `stand on unlogged tables: a slot costs no flush`() async throws {
        try await Self.withDatabase { database in
            let row = try await database.query(
                """
                SELECT bool_and(relpersistence = 'u') AS unlogged, count(*) AS count
                FROM pg_class WHERE relname IN ('guess_buckets', 'guess_devices')
                """
            ).one()
            #expect(try row.decode("unlogged") == true)
            #expect(try row.decode("count", as: Int64.self) == 2)
        }
    }
}
