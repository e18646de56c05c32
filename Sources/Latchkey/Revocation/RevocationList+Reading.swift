import JOSE
import LatchkeyVerifier
package import Postgres
import Synchronization

/// Reading the list from the database: head, entries behind the own position, key ring version and database time.
extension RevocationList {
    /// What one reading of the database told besides the list itself.
    package struct Reading: Sendable {
        /// What the reading showed of the list's history.
        package enum History: Sendable {
            case continued
            /// The list is not the one that was read before: it was read from its start.
            case another
            /// The same, and this node has found it out: commits were lost, and a new epoch begins.
            case begun
        }

        /// The node's boot clock before the reading began.
        package let begun: BootInstant
        package let keyRingVersion: Int64
        package let fence: Int64
        /// The widest settings that count.
        package let inForce: SettingsInForce
        /// What this reading showed of the clock.
        package let step: SteadyClock.Step?
        package fileprivate(set) var history: History
        fileprivate let sample: SteadyClock.Sample
        /// Which of the histories that this node has met: whatever is kept from another one is read anew.
        package let number: Int

        /// What the database's clock read at an earlier instant of the boot clock, or less: it was read before the answer
        /// came.
        func time(at instant: BootInstant) -> Instant {
            Instant(microseconds: sample.raw.microseconds - max(0, sample.ended - instant) / 1000)
        }
    }

    /// Entries that one statement reads at most; a node that has just started may have millions to read.
    static let page: Int64 = 20_000
    /// Nanoseconds for those behind the first page.
    private static let pagesTimeout: Int64 = 60_000_000_000
    private static let recentPositions = 1024
    /// How often one reading finds another history, each time because somebody else has begun one meanwhile.
    private static let mostHistories = 8

    /// From one snapshot, in one round trip.
    package func read() async throws(PostgresError) -> Reading {
        try await read(on: database)
    }

    /// - Parameter proof: a commit that goes before, on the same connection: where there are several hosts, that of another
    ///   may be to a primary that was, which would tell of less than what the commit proves.
    func read(
        on database: Database, behind proof: Query? = nil, attempt: Int = 1
    ) async throws(PostgresError) -> Reading {
        guard attempt <= Self.mostHistories else { throw .unavailable(.unsettled) }
        let (known, standing, proven, evidence, history) = state.withLock {
            ($0.position, $0.standing, $0.proven, $0.evidence, $0.history)
        }
        let (begun, results) = try await database.lease { lease throws(PostgresError) in
            if let proof { try await lease.query(proof) }
            let begun = BootInstant.now()
            let results = try await lease.batch(
                [
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", RevocationSQL.walkInOrder,
                    RevocationSQL.head(known: known?.seq, evidence: evidence?.seq),
                    RevocationSQL.entries(after: known?.seq ?? 0, limit: Self.page),
                    RevocationSQL.keyEntries(after: known?.seq ?? 0), "COMMIT",
                ], commits: .no)
            return (begun, results)
        }
        let ended = BootInstant.now()
        guard results.count == 6 else { throw .unexpectedRowCount(results.count) }
        let head = try results[2].one()
        let position = try FeedPosition(head)
        let server = try KnownHistory.Answer(head)
        let here = Standing(position: position, server: server.present, wal: try head.decode("wal"))
        let inForce = try SettingsInForce(head)
        let continuity = continuity(
            of: evidence, proven, with: here, try head.decodeIfPresent("evidence_digest"))
        switch try decide(server, head, continuity, failover: inForce.failover) {
        case .same: break
        case .adopt:
            try await database.query(RevocationSQL.adoptHistory)
            return try await read(on: database, behind: proof, attempt: attempt + 1)
        case .begin:
            try await onLoss(position.epoch)
            state.withLock { $0.untold = .begun }
            var reading = try await read(on: database, behind: proof, attempt: attempt + 1)
            reading.history = .begun
            return reading
        }
        // A commit that was seen and never proved may be gone, and its like is no loss: the list is another one all the same.
        let goesOn = self.continuity(of: known, with: position, try head.decodeIfPresent("known_digest")) == .continued
        if continuity == .broken || !goesOn {
            forget(history)
            var reading = try await read(on: database, behind: proof, attempt: attempt + 1)
            if reading.history == .continued { reading.history = .another }
            return reading
        }
        // Behind the first page other snapshots do: entries up to a head that was read stay what they are.
        var page = try RevocationPage(results[3].one())
        try take(page, results[4], of: history)
        while page.entries.count == Self.page, let seq = page.entries.last?.seq {
            let results = try await database.lease(timeout: Self.pagesTimeout) { lease throws(PostgresError) in
                try await lease.batch(
                    [
                        "BEGIN READ ONLY", RevocationSQL.walkInOrder,
                        RevocationSQL.entries(after: seq, through: position.seq, limit: Self.page), "COMMIT",
                    ], commits: .no)
            }
            guard results.count == 4 else { throw .unexpectedRowCount(results.count) }
            page = try RevocationPage(results[2].one())
            try take(page, nil, of: history)
        }
        let sample = SteadyClock.Sample(
            raw: try head.decode("raw"), reading: try ClockReading(head), begun: begun, ended: ended)
        let reading = Reading(
            begun: begun, keyRingVersion: try head.decode("ring"), fence: try head.decode("fence"), inForce: inForce,
            step: clock.take(sample, settling: inForce.settling), history: .continued, sample: sample,
            number: history)
        // What was read before the proof is older than it. (Of a log that crashed before it was written out, less.)
        let isProven = proof != nil && standing.map { $0.wal <= here.wal } ?? false
        guard move(to: here, proving: isProven ? standing : nil, of: history) else {
            return try await read(on: database, behind: proof, attempt: attempt + 1)
        }
        return reading
    }

    /// Whose history the head is of. Where nothing has to be done about it, this process goes by it from now on.
    private func decide(
        _ server: KnownHistory.Answer, _ head: ResultSet.Row, _ continuity: HistoryIdentity.Continuity, failover: String
    ) throws(PostgresError) -> HistoryIdentity.Decision {
        // Asked before it was left behind.
        guard !history.isStale(server) else { throw .unavailable(.unsettled) }
        let standbys: String = try head.decode("standbys")
        let decision = HistoryIdentity.decide(
            stored: server.stored, present: server.present, failover: failover,
            standbys: standbys.isEmpty ? state.withLock { $0.standbys } : standbys, continuity: continuity)
        guard decision == .same else { return decision }
        state.withLock { $0.standbys = standbys }
        if history.settle(on: server) {
            database.recheck()
            pulse.recheck()
        }
        return decision
    }

    /// Another epoch, or a head behind what was read: another history. Its list is read from the start; what stands in
    /// the set stays, since an id too many refuses a token and one too few accepts it.
    /// A standby that took over without the last commits may have grown past our position meanwhile: its digest tells.
    /// - Parameter digest: what the list's was at `known`, as its database says now.
    private func continuity(
        of known: FeedPosition?, with position: FeedPosition, _ digest: Bytes?
    ) -> HistoryIdentity.Continuity {
        guard let known else { return .continued }
        guard known.epoch == position.epoch else { return .broken }
        guard known.seq <= position.seq else { return .lost }
        // (Behind the beginning of an epoch nothing can have been another, and no batch tells its digest.)
        if known.seq == 0 { return .continued }
        // Batches keep a day: a node that slept longer knows nothing.
        guard let digest else { return .broken }
        return known.has(digest) ? .continued : .lost
    }

    /// The same by all that is evidence. A data folder that was set back while nothing was revoked has the same list, and a
    /// shorter log: a crash takes nothing from it that was written out.
    private func continuity(
        of evidence: FeedPosition?, _ proven: Standing?, with here: Standing, _ digest: Bytes?
    ) -> HistoryIdentity.Continuity {
        let list = continuity(of: evidence, with: here.position, digest)
        guard list == .continued, let proven, proven.server == here.server, here.wal < proven.wal else { return list }
        return .lost
    }

    /// - Parameter history: who has met another one meanwhile has forgotten already.
    private func forget(_ history: Int) {
        state.withLock { state in
            guard state.history == history else { return }
            otherHistories.add()
            state.history += 1
            if state.untold == nil { state.untold = .another }
            state.position = nil
            state.standing = nil
            state.proven = nil
            state.appendedAt = nil
            state.recent = []
            state.ids.beginHistory()
            // Positions of the other history say nothing of this one's entries; the keys stay in the set.
            state.latestKeyEntries = LatestKeyEntries()
        }
    }

    /// - Parameter history: another one was met since the reading began: what it read is of no use.
    private func take(
        _ page: RevocationPage, _ keyEntries: ResultSet?, of history: Int
    ) throws(PostgresError) {
        var keys: [KeyEntry] = []
        for row in keyEntries.map({ Array($0.rows) }) ?? [] { keys.append(try KeyEntry(row)) }
        state.withLock { state in
            for (seq, entry) in page.entries {
                if state.history == history { state.ids.read(entry, at: seq) } else { state.ids.read(lost: entry) }
            }
            for entry in keys where state.history == history {
                state.apply(entry)
                state.ids.read(entry)
            }
        }
    }

    /// Two readings may run at once (a tick and a notification): the position never goes back.
    /// - Parameter proven: what a commit of this node's own has gone behind.
    /// - Returns: false where another history was met since the reading began.
    func move(to here: Standing, proving proven: Standing?, of history: Int) -> Bool {
        let position = here.position
        return state.withLock { state in
            guard state.history == history, state.position.map({ $0.epoch == position.epoch }) ?? true else {
                return false
            }
            if state.position.map({ $0.seq < position.seq }) ?? true {
                state.position = position
                state.recent.append(position)
                if state.recent.count > Self.recentPositions { state.recent.removeFirst() }
            }
            // One that was overtaken tells of less than is known.
            if state.position == position { state.standing = here }
            if let proven { state.proven = proven }
            return true
        }
    }

    /// Claims that all that was acknowledged before `instant` is in the set. Only a tick may: it has proved, by a commit
    /// of its own after `instant` and before its reading, on one connection, that it reads from the living primary.
    func claim(completeAsOf instant: BootInstant, by reading: Reading) {
        let claim = Claim(asOf: instant, time: reading.time(at: instant))
        state.withLock { state in
            guard state.claim.map({ $0.asOf < instant }) ?? true else { return }
            state.claim = claim
            state.claimed = reading.number
        }
    }

    /// For a command that is no node: reads once, behind a commit of its own, and claims as a tick would. Never first in a
    /// history: what else is kept of the one before must go before that, and the tick sees to it.
    package func readAndClaim() async throws(PostgresError) -> Reading {
        let begun = BootInstant.now()
        let reading = try await read(on: database, behind: RevocationSQL.proveLivingPrimary)
        if reading.history == .continued, state.withLock({ $0.claimed }) == reading.number {
            claim(completeAsOf: begun, by: reading)
        }
        return reading
    }

    /// Whether another history was met since this was asked last, by whomever: not every reader tells of what it has found.
    func takeUntold() -> Reading.History? {
        state.withLock { state in
            defer { state.untold = nil }
            return state.untold
        }
    }
}
