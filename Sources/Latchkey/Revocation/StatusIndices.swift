package import JOSE
import LibCrypto
package import Postgres
import Synchronization

/// Hands out bits of the status lists, each once in the life of an installation: to sessions at their birth and to the
/// epochs of clients. This room owns the table `status_lists`.
///
/// The database leases numbers of the open list; sessions get theirs from the node's memory, a thousand a lease, so that
/// a birth pays for no statement of its own. What a node that ends has left over is never handed out: a bit that nobody
/// has looks like one of a living session.
package final class StatusIndices: Sendable {
    /// Numbers that a node leases at once for sessions.
    static let blockSize: Int64 = 1024
    /// Nanoseconds after which what is left of a block is dropped: the life of its list is reckoned from the lease.
    static let blockLife: Int64 = 86_400_000_000_000

    private struct Block {
        let list: StatusListID
        let order: IndexOrder
        var next: UInt32
        let end: UInt32
        let leasedAt: BootInstant

        var status: StatusIndex { StatusIndex(list: list, index: order.index(of: next)) }
    }

    private let database: Database
    private let sessionLife: Int64
    /// Leased in that history, by the node's own count.
    private let held = Mutex<(history: Int, blocks: [Block])>((0, []))

    /// - Parameter sessionLife: seconds from a session's birth to the death of its last token.
    package init(_ database: Database, sessionLife: Int64) {
        self.database = database
        self.sessionLife = sessionLife
    }

    /// The id of a session that is born at `now`.
    package func sessionID(
        bornAt now: Instant, at boot: BootInstant = .now()
    ) async throws(PostgresError) -> UniqueID {
        let status: StatusIndex
        if let index = take(at: boot) {
            status = index
        } else {
            let history = held.withLock { $0.history }
            let life = sessionLife + Self.blockLife / 1_000_000_000 + Self.margin
            let lease = try StatusLease(
                try await database.query(StatusIndexSQL.lease(.sessions, Self.blockSize, life: life)).one())
            var block = Block(
                list: lease.list, order: IndexOrder(seed: lease.seed), next: lease.first,
                end: lease.first + UInt32(Self.blockSize), leasedAt: boot)
            status = block.status
            block.next += 1
            let rest = block
            // Whoever found none at the same moment brings a block of their own: none of them is lost.
            held.withLock { if $0.history == history { $0.blocks.append(rest) } }
        }
        return status.id(millisecondsSince1970: now.milliseconds, random: SecureRandom.bytes(3))
    }

    /// Seconds for a birth that takes its time, for clocks and for leeways.
    private static let margin: Int64 = 3600

    private func take(at now: BootInstant) -> StatusIndex? {
        held.withLock { held in
            held.blocks.removeAll { $0.next == $0.end || now - $0.leasedAt >= Self.blockLife }
            guard !held.blocks.isEmpty else { return nil }
            defer { held.blocks[0].next += 1 }
            return held.blocks[0].status
        }
    }

    /// Called after every reading of the node's tick. What was leased in a history that was lost goes: the database that
    /// came back knows nothing of it, and perhaps not even of the list.
    package func follow(_ reading: RevocationList.Reading) {
        held.withLock { if $0.history < reading.number { $0 = (reading.number, []) } }
    }

    /// A new epoch for a client.
    package func epoch() async throws(PostgresError) -> UniqueID {
        let lease = try StatusLease(try await database.query(StatusIndexSQL.lease(.epochs, 1, life: nil)).one())
        return lease.epoch(at: 0, order: IndexOrder(seed: lease.seed))
    }

    /// New epochs for so many clients, in a transaction that holds these: no second connection is waited for meanwhile.
    package func epochs(_ count: Int, in transaction: Transaction) async throws(PostgresError) -> [UniqueID] {
        var epochs: [UniqueID] = []
        while epochs.count < count {
            let amount = min(count - epochs.count, 65_536)
            let lease = try StatusLease(
                try await transaction.query(StatusIndexSQL.lease(.epochs, Int64(amount), life: nil)).one())
            let order = IndexOrder(seed: lease.seed)
            for offset in 0..<UInt32(amount) { epochs.append(lease.epoch(at: offset, order: order)) }
        }
        return epochs
    }

    /// Lists of which a token may be alive, in the order of their random numbers.
    package func livingLists() async throws(PostgresError) -> [StatusListID] {
        var lists: [StatusListID] = []
        for row in try await database.query(StatusIndexSQL.living).rows { lists.append(try StatusListID(row)) }
        return lists
    }

    /// Whether bits of the list were ever handed out and it is not forgotten.
    package func exists(_ list: StatusListID) async throws(PostgresError) -> Bool {
        try await database.grouped(StatusIndexSQL.find(list)).first != nil
    }

    /// Forgets lists whose last token is dead.
    package func forgetDead() async throws(PostgresError) {
        try await database.query(StatusIndexSQL.forgetDead)
    }
}

/// Numbers of one list, from `first` on.
private struct StatusLease {
    let list: StatusListID
    let seed: [UInt8]
    let first: UInt32
    let now: Instant

    init(_ row: ResultSet.Row) throws(PostgresError) {
        let seed: Bytes = try row.decode("seed")
        guard let first = UInt32(exactly: try row.decode("first", as: Int64.self)) else {
            throw .undecodable(column: "first")
        }
        self.seed = seed.bytes
        self.first = first
        list = try StatusListID(row)
        now = try row.decode("now")
    }

    func epoch(at offset: UInt32, order: IndexOrder) -> UniqueID {
        StatusIndex(list: list, index: order.index(of: first + offset)).id(
            millisecondsSince1970: now.milliseconds, random: SecureRandom.bytes(3))
    }
}

extension StatusListID {
    fileprivate init(_ row: ResultSet.Row) throws(PostgresError) {
        guard let number = UInt32(exactly: try row.decode("list", as: Int64.self)) else {
            throw .undecodable(column: "list")
        }
        self.init(number)
    }
}

/// Every statement on `status_lists`.
package enum StatusIndexSQL {
    /// Whose bits a list holds.
    enum Kind: Int16 {
        case sessions = 1
        /// Of clients. They have no end, nor have their lists.
        case epochs = 2
    }

    /// - Parameter life: seconds from now until the last token that may name one of these is dead; nil: there is no end.
    static func lease(_ kind: Kind, _ count: Int64, life: Int64?) -> Query {
        "SELECT list, seed, first, now FROM lease_status_indices(\(kind.rawValue), \(count), \(life))"
    }

    /// Where commits were lost, the open lists say of numbers that they are free which may be out. (Whoever leases from them
    /// meanwhile waits, and finds the next ones.)
    package static let closeAll: Query = "UPDATE status_lists SET is_open = false WHERE is_open"

    /// Behind `closeAll`. No session of before goes on: what its list said may be lost, and whoever asks is to refuse. Those
    /// of clients' epochs stay, as the epochs do.
    package static let endSessions: Query = """
        UPDATE status_lists
        SET identity = NULL, lives_until = '-infinity'
        WHERE kind = \(Kind.sessions.rawValue) AND NOT is_open
        """

    package static let beginAll: Query =
        "SELECT begin_status_list(kind)::text FROM unnest(ARRAY[1, 2]::smallint[]) AS kind"

    static let living: Query = """
        SELECT l.list
        FROM status_lists l, steady_clock() AS c
        WHERE l.identity IS NOT NULL AND l.lives_until > c.settled
        ORDER BY l.list
        """

    static func find(_ list: StatusListID) -> Query {
        "SELECT list FROM status_lists WHERE list = \(Int64(list.number)) AND identity IS NOT NULL"
    }

    /// By the settled clock: a list that is gone refuses every token that names it.
    static let forgetDead: Query = """
        DELETE FROM status_lists
        WHERE NOT is_open AND lives_until < (SELECT settled FROM steady_clock())
        """
}
