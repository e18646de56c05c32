import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("Bits of the status lists")
struct StatusIndicesTests {
    private static let life: Int64 = 7_776_600
    private static let now = Instant(seconds: 1_800_000_000)

    private static func withDatabase(_ body: @Sendable (Database) async throws -> Void) async throws {
        try await TestCluster.withDatabase(migrations: Migrations.all) { connectionString in
            let database = Database.patient(connectionString)
            defer { database.shutDown() }
            try await body(database)
        }
    }

    private static func place(_ id: UniqueID) throws -> StatusIndex { try #require(StatusIndex(of: id)) }

    @Test func `are handed out once each, however many nodes ask at once`() async throws {
        try await Self.withDatabase { database in
            let nodes = (0..<3).map { _ in StatusIndices(database, sessionLife: Self.life) }
            let ids = try await withThrowingTaskGroup(of: [UniqueID].self) { group in
                for number in 0..<12 {
                    group.addTask {
                        var ids: [UniqueID] = []
                        for _ in 0..<300 { ids.append(try await nodes[number % 3].sessionID(bornAt: Self.now)) }
                        ids.append(try await nodes[number % 3].epoch())
                        return ids
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            let places = Set(try ids.map { try Self.place($0) })
            #expect(ids.count == 12 * 301)
            #expect(places.count == ids.count)
            // Sessions' and epochs' lists are two. Sessions pay for a lease in a thousand, and for one where several found
            // none at the same moment.
            #expect(Set(places.map(\.list)).count == 2)
            let row = try await database.query("SELECT next FROM status_lists WHERE kind = 1").one()
            #expect(try (4...16).contains(row.decode("next", as: Int64.self) / 1024))
        }
    }

    @Test func `go on in another list when one is full`() async throws {
        try await Self.withDatabase { database in
            let full: Int64 = 1_048_576
            try await database.query("UPDATE status_lists SET next = \(full - 1024) WHERE kind = 1")
            try await database.query("UPDATE status_lists SET next = \(full - 2) WHERE kind = 2")
            let nodes = (0..<4).map { _ in StatusIndices(database, sessionLife: Self.life) }
            // All at once: one of them begins the next list.
            let ids = try await withThrowingTaskGroup(of: [UniqueID].self) { group in
                for node in nodes {
                    group.addTask {
                        [
                            try await node.sessionID(bornAt: Self.now), try await node.epoch(), try await node.epoch(),
                        ]
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(Set(try ids.map { try Self.place($0) }).count == ids.count)
            let lists = try await database.query(
                "SELECT kind, is_open, next, list FROM status_lists ORDER BY kind, is_open")
            var rows: [String] = []
            for row in lists.rows {
                let (kind, next): (Int16, Int64) = (try row.decode("kind"), try row.decode("next"))
                rows.append("\(kind) \(try row.decode("is_open", as: Bool.self)) \(next)")
            }
            #expect(rows == ["1 false \(full)", "1 true \(3 * 1024)", "2 false \(full)", "2 true 6"])
            #expect(try await nodes[0].livingLists().count == 4)
        }
    }

    /// What a restored backup says was handed out is what was before it was made.
    @Test func `are of other lists in another history`() async throws {
        try await Self.withDatabase { database in
            let before = try Self.place(
                try await StatusIndices(database, sessionLife: Self.life).sessionID(bornAt: Self.now))
            try await database.query(
                "UPDATE status_lists SET next = 0, identity = 'another' WHERE identity IS NOT NULL")
            let restored = StatusIndices(database, sessionLife: Self.life)
            let after = try Self.place(try await restored.sessionID(bornAt: Self.now))
            #expect(after.list != before.list)
            // And tokens of the list before are answered still.
            #expect(try await restored.livingLists().contains(before.list))
            #expect(try await restored.exists(before.list))
        }
    }

    @Test func `that a node has had for a day are handed out no more`() async throws {
        try await Self.withDatabase { database in
            let node = StatusIndices(database, sessionLife: Self.life)
            func next() async throws -> Int64 {
                try await database.query("SELECT next FROM status_lists WHERE kind = 1").one().decode("next")
            }
            let boot = BootInstant.now()
            let day: Int64 = 86_400_000_000_000
            _ = try await node.sessionID(bornAt: Self.now, at: boot)
            _ = try await node.sessionID(bornAt: Self.now, at: BootInstant(nanoseconds: boot.nanoseconds + day - 1))
            #expect(try await next() == 1024)
            _ = try await node.sessionID(bornAt: Self.now, at: BootInstant(nanoseconds: boot.nanoseconds + day))
            #expect(try await next() == 2048)
        }
    }

    @Test func `keep their list until the last session in it is dead, and an open one for ever`() async throws {
        try await Self.withDatabase { database in
            let node = StatusIndices(database, sessionLife: Self.life)
            let list = try Self.place(try await node.sessionID(bornAt: Self.now)).list
            let epochs = try Self.place(try await node.epoch()).list
            func close(_ seconds: Int64) async throws {
                try await database.query(
                    """
                    UPDATE status_lists
                    SET is_open = false, lives_until = lives_until - \(seconds) * interval '1 second'
                    WHERE kind = 1
                    """)
                try await node.forgetDead()
            }
            // A day for what is left of the lease, and an hour of margin.
            try await close(Self.life + 86_400 + 3_500)
            #expect(try await node.livingLists().contains(list))
            try await database.query("UPDATE status_lists SET is_open = true WHERE kind = 1")
            try await database.query("UPDATE status_lists SET lives_until = '-infinity' WHERE kind = 1")
            try await node.forgetDead()
            #expect(try await node.exists(list))
            #expect(try await node.livingLists() == [epochs])
            try await close(0)
            #expect(try await node.exists(list) == false)
            #expect(try await node.exists(epochs))
        }
    }

    @Test func `that a transaction took back were never there`() async throws {
        try await Self.withDatabase { database in
            struct TakenBack: Error {}
            let node = StatusIndices(database, sessionLife: Self.life)
            let first = try Self.place(try await node.epoch())
            await #expect(throws: TakenBack.self) {
                try await database.transaction { transaction in
                    let epochs = try await node.epochs(3, in: transaction)
                    #expect(Set(try epochs.map { try Self.place($0) } + [first]).count == 4)
                    #expect(try await node.epochs(0, in: transaction).isEmpty)
                    throw TakenBack()
                }
            }
            let row = try await database.query("SELECT next FROM status_lists WHERE kind = 2").one()
            #expect(try row.decode("next", as: Int64.self) == 1)
        }
    }

    /// What the database knows of them may be older than what was handed out.
    @Test func `of a lost history are handed out no more`() async throws {
        try await TestInstallation.run { it in
            let (database, installation) = (it.database, it.node.installation)
            let open: Query = "SELECT list FROM status_lists WHERE is_open ORDER BY kind"
            func lists() async throws -> [Int64] {
                try await database.query(open).rows.map { row in try row.decode("list") }
            }
            @Sendable func list(_ id: UniqueID) throws -> Int64 { Int64(try Self.place(id).list.number) }
            let old = try await lists()
            #expect(try await list(it.node.newUser("alice").sid) == old[0])
            #expect(try await list(installation.indices.epoch()) == old[1])

            _ = try await installation.lostHistory.begin(origin: Origin(actor: "test"))
            let new = try await lists()
            #expect(new.count == 2 && Set(new).isDisjoint(with: old))
            // The node has a thousand of the old ones left.
            #expect(try await becomesTrue { try await it.node.logIn("alice").status == 200 })
            #expect(try await becomesTrue(within: .seconds(5)) { try await list(it.node.logIn("alice").sid) == new[0] })
            for _ in 0..<3 { #expect(try await list(it.node.logIn("alice").sid) == new[0]) }
            #expect(try await list(installation.indices.epoch()) == new[1])
            #expect(try await lists() == new)
            let standbys: Query = "SELECT kid FROM signing_keys WHERE activates_at IS NULL AND compromised_at IS NULL"
            #expect(try await becomesTrue { try await database.query(standbys).count == 2 })
        }
    }

    @Test(arguments: [Int64(0), -1, 1_048_577]) func `are leased in no such number`(amount: Int64) async throws {
        try await Self.withDatabase { database in
            await #expect(throws: PostgresError.self) {
                try await database.query(StatusIndexSQL.lease(.sessions, amount, life: 1))
            }
        }
    }
}
