package import JOSE
import LatchkeyVerifier
package import Postgres
import Synchronization

/// The revocation list as this node holds it: the set it judges by, the position it has read up to, and how fresh that
/// is. This room knows ids and expiries, nothing of sessions; who ends a session hands over the ids.
///
/// A revocation of this node's own is in the set before the caller hears of it; the position moves only by reading.
package final class RevocationList: RevocationLookup {
    private struct State {
        var set = RevocationSet()
        var position: FeedPosition?
        /// The list's digest at `position`.
        var digest: Bytes?
        /// Every revocation acknowledged anywhere before this instant is in the set.
        var completeAsOf: BootInstant?
        var latestKeyEntries = LatestKeyEntries()

        mutating func apply(_ entry: KeyEntry) {
            guard latestKeyEntries.admits(entry) else { return }
            switch entry.kind {
            case .kid: set.insert(keyID: entry.keyID)
            case .lift: set.lift(keyID: entry.keyID)
            }
        }
    }

    /// Without a tick for this long a node neither judges a token nor mints one.
    package static let staleAfter: Int64 = 2_000_000_000

    let database: Database
    /// For the tick alone: what it needs is never queued behind requests.
    let pulse: Database
    package let clock: NodeClock
    private let state = Mutex(State())

    package init(_ database: Database, pulse: Database, clock: NodeClock) {
        self.database = database
        self.pulse = pulse
        self.clock = clock
    }

    package var position: FeedPosition? { state.withLock { $0.position } }

    /// Entries that this node itself has appended, once they were committed.
    package let appended = CounterFamily<RevocationEntry.Kind>()
    package let appendedKeys = CounterFamily<KeyEntry.Kind>()

    /// Nanoseconds since the instant as of which the set is complete; nil before the first tick.
    package var age: Int64? { state.withLock { $0.completeAsOf }.map { BootInstant.now() - $0 } }

    package var count: Int { state.withLock { $0.set.count } }

    /// Whether the set is complete as of less than two seconds ago.
    package var isFresh: Bool {
        state.withLock { state in
            state.completeAsOf.map { BootInstant.now() - $0 < Self.staleAfter } ?? false
        }
    }

    package func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool {
        state.withLock { $0.set.contains(tokenID: tokenID, sessionID: sessionID) }
    }

    package func contains(keyID: String) -> Bool {
        state.withLock { $0.set.contains(keyID: keyID) }
    }

    package func contains(_ id: UniqueID) -> Bool {
        state.withLock { $0.set.contains(id) }
    }

    /// Takes in what this node itself has just committed.
    package func insert(_ entries: [RevocationEntry]) {
        for entry in entries { appended.add(entry.kind) }
        state.withLock { state in
            for entry in entries { state.set.insert(entry.id, expiresAt: Self.expiry(entry)) }
        }
    }

    /// Takes in the revocation of a key that this node itself has just committed, or found committed. A lift comes by
    /// reading alone: one of a history that was lost meanwhile must not undo what stands in the present one.
    package func insert(_ entry: KeyEntry) {
        guard entry.kind == .kid else { return }
        state.withLock { $0.apply(entry) }
    }

    /// Rounded up: the set forgets no entry before it expires.
    private static func expiry(_ entry: RevocationEntry) -> Int64 { entry.expiresAt.seconds + 1 }

    /// Puts one token on the list, with its audit row. Returns once that is durable and in this node's set.
    package func revoke(tokenID: UniqueID, audit event: Event, origin: Origin) async throws(PostgresError)
        -> FeedPosition
    {
        // Once is enough: repeating a revocation must not make the list longer. The answer rests on a commit and a
        // reading of its own: the entry may be of a commit whose fate was unknown, and the position older than it.
        if contains(tokenID) {
            _ = try await readAndClaim()
            if let position { return position }
        }
        let result = try await database.grouped(
            RevocationSQL.append(tokenID: tokenID, audit: event.row(origin)), in: .revocations)
        let (entries, position) = try result.appendedEntries()
        guard let position else { throw .unexpectedRowCount(0) }
        insert(entries)
        return position
    }

    /// What one reading of the database told besides the list itself.
    package struct Reading: Sendable {
        /// The node's boot clock before the reading began.
        package let begun: BootInstant
        package let keyRingVersion: Int64
        package let fence: Int64
        /// The widest settings that count.
        package let inForce: SettingsInForce
        /// What this reading showed of the clock.
        package let step: SteadyClock.Step?
    }

    /// Head, entries after the own position, key ring version and database time, from one snapshot, in one round trip.
    package func read() async throws(PostgresError) -> Reading {
        try await read(on: database)
    }

    func read(on database: Database) async throws(PostgresError) -> Reading {
        let begun = BootInstant.now()
        let (known, digest) = state.withLock { ($0.position, $0.digest) }
        let results = try await database.lease { lease throws(PostgresError) in
            try await lease.batch(
                [
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", RevocationSQL.head(known: known?.seq),
                    RevocationSQL.entries(after: known?.seq ?? 0), RevocationSQL.keyEntries(after: known?.seq ?? 0),
                    "COMMIT",
                ], commits: .no)
        }
        let ended = BootInstant.now()
        guard results.count == 5 else { throw .unexpectedRowCount(results.count) }
        let head = try results[1].one()
        let position = FeedPosition(epoch: try head.decode("epoch"), seq: try head.decode("seq"))
        var entries: [RevocationEntry] = []
        for row in results[2].rows { entries.append(try RevocationEntry(row)) }
        var keyEntries: [KeyEntry] = []
        for row in results[3].rows { keyEntries.append(try KeyEntry(row)) }
        // Another epoch, or a head behind what was read: another history. Its list is read from the start; what stands in
        // the set stays, since an id too many refuses a token and one too few accepts it.
        // A standby that took over without the last commits may have grown past our position meanwhile: its digest tells.
        let knownDigest = try head.decodeIfPresent("known_digest", as: Bytes.self)
        if let known, known.epoch != position.epoch || known.seq > position.seq || knownDigest != digest {
            state.withLock { state in
                state.position = nil
                // Positions of the other history say nothing of this one's entries; the keys stay in the set.
                state.latestKeyEntries = LatestKeyEntries()
            }
            return try await read(on: database)
        }
        let headDigest: Bytes = try head.decode("digest")
        let inForce = try SettingsInForce(head)
        let sample = SteadyClock.Sample(
            raw: try head.decode("raw"), reading: try ClockReading(head), begun: begun, ended: ended)
        let reading = Reading(
            begun: begun, keyRingVersion: try head.decode("ring"), fence: try head.decode("fence"), inForce: inForce,
            step: clock.take(sample, settling: inForce.settling))
        state.withLock { state in
            for entry in entries { state.set.insert(entry.id, expiresAt: Self.expiry(entry)) }
            for entry in keyEntries { state.apply(entry) }
            // Two readings may run at once (a tick and a notification): the position never goes back.
            if state.position?.epoch != position.epoch || state.position.map({ $0.seq < position.seq }) ?? true {
                state.position = position
                state.digest = headDigest
            }
        }
        return reading
    }

    /// Claims that all that was acknowledged before `instant` is in the set. Only a tick may: it has proved, by a commit
    /// of its own after `instant` and before its reading, that it reads from the living primary.
    func claim(completeAsOf instant: BootInstant) {
        state.withLock { state in
            if state.completeAsOf.map({ $0 < instant }) ?? true { state.completeAsOf = instant }
        }
    }

    /// For a command that is no node: reads once, behind a commit of its own, and claims as a tick would.
    package func readAndClaim() async throws(PostgresError) -> Reading {
        let begun = BootInstant.now()
        try await database.query(RevocationSQL.proveLivingPrimary)
        let reading = try await read()
        claim(completeAsOf: begun)
        return reading
    }

    func removeExpired() {
        guard let clock = clock.reading else { return }
        state.withLock { $0.set.removeExpired(now: clock.settled.seconds) }
    }
}
