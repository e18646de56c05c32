package import JOSE
import LatchkeyVerifier
package import Postgres
import Synchronization

/// The revocation list as this node holds it: the set it judges by, the position it has read up to, and how fresh that
/// is. This room knows ids and expiries, nothing of sessions; who ends a session hands over the ids.
///
/// A revocation of this node's own is in the set before the caller hears of it; the position moves only by reading.
package final class RevocationList: RevocationLookup {
    /// Every revocation acknowledged anywhere before an instant is in the list up to where it was read.
    package struct Claim: Sendable, Equatable {
        package let asOf: BootInstant
        /// What the database's clock read then, or less.
        package let time: Instant
    }

    /// How far a reading found the list and its server.
    struct Standing: Sendable {
        let position: FeedPosition
        let server: HistoryIdentity
        /// Bytes of the server's write-ahead log: it never has fewer, unless its data folder was set back.
        let wal: Int64
    }

    struct State {
        var ids = RevokedIDs()
        /// Of keys alone.
        var keys = RevocationSet()
        var position: FeedPosition?
        /// What the last reading showed.
        var standing: Standing?
        /// The last that a later commit of this node's own went behind. Of what was read without one a failover may know
        /// nothing: that is no lost history, for nobody was told of it.
        var proven: Standing?
        var claim: Claim?
        var latestKeyEntries = LatestKeyEntries()
        /// How many other histories of the list were met.
        var history = 0
        /// Which of them `claim` is about.
        var claimed = 0
        /// Of a commit of this node's own that was acknowledged.
        var appendedAt: FeedPosition?
        /// Another history was met, and nobody has been told.
        var untold: Reading.History?
        var overdueSlots = 0
        /// Positions that were read lately, the latest last.
        var recent: [FeedPosition] = []
        /// The primary's `synchronous_standby_names`, where it had some. Who takes over from it may not have been told yet.
        var standbys = ""

        /// The furthest point of the list of which a database that lacks it has lost something: proved by a later commit, or
        /// acknowledged to a caller, who was told that it is durable.
        var evidence: FeedPosition? {
            guard let appendedAt, appendedAt.epoch == position?.epoch, appendedAt.seq > proven?.position.seq ?? 0 else {
                return proven?.position
            }
            return appendedAt
        }

        mutating func acknowledge(_ position: FeedPosition) {
            if let appendedAt, appendedAt.epoch == position.epoch, appendedAt.seq >= position.seq { return }
            appendedAt = position
        }

        mutating func apply(_ entry: KeyEntry) {
            guard latestKeyEntries.admits(entry) else { return }
            switch entry.kind {
            case .kid: keys.insert(keyID: entry.keyID)
            case .lift: keys.lift(keyID: entry.keyID)
            }
        }
    }

    /// Without a tick for this long a node neither judges a token nor mints one.
    package static let staleAfter: Int64 = 2_000_000_000

    let database: Database
    /// For the tick alone: what it needs is never queued behind requests.
    let pulse: Database
    package let clock: NodeClock
    let history: KnownHistory
    let onLoss: OnLoss
    let state = Mutex(State())

    /// Makes what was handed out by the history of that epoch void, and begins another epoch. It lives above this room: it
    /// takes the keys, too. Nothing where it was done meanwhile.
    package typealias OnLoss = @Sendable (_ epoch: UniqueID) async throws(PostgresError) -> Void

    package init(
        _ database: Database, pulse: Database, clock: NodeClock, history: KnownHistory = KnownHistory(),
        onLoss: @escaping OnLoss = { _ throws(PostgresError) in throw .unavailable(.unsettled) }
    ) {
        self.database = database
        self.pulse = pulse
        self.clock = clock
        self.history = history
        self.onLoss = onLoss
    }

    package var position: FeedPosition? { state.withLock { $0.position } }

    /// Entries that this node itself has appended, once they were committed.
    package let appended = CounterFamily<RevocationEntry.Kind>()
    package let appendedKeys = CounterFamily<KeyEntry.Kind>()

    /// Other histories of the list that this node has met.
    package let otherHistories = Counter()

    /// Ticks that came so late that the node was stale meanwhile.
    package let late = Counter()

    /// Nanoseconds since the instant as of which the set is complete; nil before the first tick.
    package var age: Int64? { state.withLock { $0.claim?.asOf }.map { BootInstant.now() - $0 } }

    /// Entries that this node holds.
    package var count: Int { state.withLock { $0.ids.count + $0.keys.count } }

    /// Slots of the ring that should have been emptied minutes ago.
    package var overdueSlots: Int {
        get { state.withLock { $0.overdueSlots } }
        set { state.withLock { $0.overdueSlots = newValue } }
    }

    /// Whether the set is complete as of less than two seconds ago. What was claimed of a history that is lost says nothing
    /// of the present one: until that has been read and claimed, tokens of the lost one would be taken.
    package var isFresh: Bool {
        state.withLock { state in
            state.claimed == state.history
                && state.claim.map { BootInstant.now() - $0.asOf < Self.staleAfter } ?? false
        }
    }

    package func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool {
        state.withLock { state in
            state.ids.contains(tokenID) || sessionID.map { state.ids.contains($0) } ?? false
        }
    }

    package func contains(keyID: String) -> Bool {
        state.withLock { $0.keys.contains(keyID: keyID) }
    }

    package func contains(_ id: UniqueID) -> Bool {
        state.withLock { $0.ids.contains(id) }
    }

    /// Up to where this node itself has appended; its own position may be behind that until it has read.
    package var appendedAt: FeedPosition? { state.withLock { $0.appendedAt } }

    /// Takes in what this node itself has just committed.
    package func insert(_ entries: [RevocationEntry], at position: FeedPosition?) {
        for entry in entries { appended.add(entry.kind) }
        state.withLock { state in
            for entry in entries { state.ids.insert(own: entry) }
            if let position { state.acknowledge(position) }
        }
    }

    /// Takes in the revocation of a key that this node itself has just committed, or found committed. A lift comes by
    /// reading alone: one of a history that was lost meanwhile must not undo what stands in the present one.
    package func insert(_ entry: KeyEntry, at position: FeedPosition) {
        guard entry.kind == .kid else { return }
        state.withLock { state in
            state.apply(entry)
            state.acknowledge(position)
        }
    }

    /// Puts one token on the list, with its audit row. Returns once that is durable and in this node's set.
    package func revoke(tokenID: UniqueID, audit event: Event, origin: Origin) async throws(PostgresError)
        -> FeedPosition
    {
        // Once is enough: repeating a revocation must not make the list longer. The answer rests on a commit and a
        // reading of its own: the entry may be of a commit whose fate was unknown, and the position older than it.
        if contains(tokenID) {
            _ = try await readAndClaim()
            if let position = position(listing: tokenID) { return position }
        }
        let append = RevocationSQL.append(tokenID: tokenID, audit: event.row(origin))
        let result: ResultSet
        do throws(PostgresError) {
            result = try await database.grouped(append, in: .revocations)
        } catch {
            guard error == .unknownOutcome else { throw error }
            // It was sent and its fate is not known. The answer rests on a commit behind it: where that finds no entry
            // it is appended again, and a second one of the same id would change nothing.
            _ = try await readAndClaim()
            if let position = position(listing: tokenID) { return position }
            result = try await database.query(append)
        }
        let (entries, position) = try result.appendedEntries()
        guard let position else { throw .unexpectedRowCount(0) }
        insert(entries, at: position)
        return position
    }

    /// The position that was read, where the list up to it holds the id. What stands in the set may be of a history that was
    /// lost: an acknowledgement rests on what the database holds.
    private func position(listing id: UniqueID) -> FeedPosition? {
        state.withLock { $0.ids.present.contains(id) ? $0.position : nil }
    }

    /// In steps: of millions of entries the whole takes longer than a request should wait for the lock.
    func removeExpired() {
        guard let now = clock.reading?.settled.seconds, state.withLock({ $0.ids.removeExpired(now: now) }) else {
            return
        }
        for part in 0..<RevocationIndex.partCount { state.withLock { $0.ids.sweep(part: part) } }
    }
}
