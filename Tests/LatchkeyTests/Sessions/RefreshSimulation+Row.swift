import JOSE
import Postgres

@testable import Latchkey

/// The database's part, as `SessionSQL` has it: the one row, its lock, and what becomes of commits.
extension RefreshSimulation {
    /// Advance, the conditional statement in a group: a locked row is skipped, and so is one that does not match.
    mutating func execute(_ id: Int) throws {
        guard let request = requests[id], !request.isUnsent else { return }
        let now = clock
        let matches = row.generation == request.presented || mutant == .advancesAnything
        guard holder == nil, matches, row.endedAt == nil, row.idleUntil > now, row.maxUntil > now else {
            return agenda.add(.hear(id, .notDone), at: time)
        }
        holder = id
        let changed = advanced(at: now)
        requests[id]?.now = now
        requests[id]?.change = changed
        requests[id]?.answer = .granted(changed.generation)
        requests[id]?.isCommitting = true
        agenda.add(.commit(id), at: time + hop())
    }

    private func advanced(at now: Instant) -> Row {
        var changed = row
        changed.confirmed = row.generation
        changed.generation = row.generation + 1
        changed.confirmedAt = now
        changed.issuedAt = now
        changed.idleUntil = min(now + policy.idleTTL, row.maxUntil)
        return changed
    }

    /// The slow path: the lock, and the row and the clock as they are under it.
    mutating func lock(_ id: Int) {
        guard let request = requests[id], !request.isUnsent, !request.isForgotten else { return }
        guard holder == nil else {
            if request.waitsSince == nil { requests[id]?.waitsSince = time }
            waiting.append(id)
            return
        }
        holder = id
        let now = clock
        requests[id]?.now = now
        requests[id]?.lockedAt = time
        requests[id]?.isCommitting = false
        agenda.add(.decide(id), at: time + hop())
    }

    /// What the node that holds the lock decides, and is about to commit.
    mutating func act(_ id: Int) throws {
        guard let request = requests[id] else { return }
        let now = request.now
        let read = mutant == .decidesBeforeLock ? request.seenBefore ?? row : row
        requests[id]?.isCommitting = true
        requests[id]?.change = nil
        switch decide(read, request.presented, now) {
        case .refuse: requests[id]?.answer = .refused
        case .advance:
            let changed = advanced(at: now)
            requests[id]?.change = changed
            requests[id]?.answer = .granted(changed.generation)
        case .repeat:
            tally.repeats += 1
            requests[id]?.answer = .granted(row.generation)
            if mutant == .repeatIsNew { requests[id]?.answer = .granted(row.generation + 1) }
        case .recover:
            tally.recoveries += 1
            var changed = row
            changed.generation += 1
            changed.issuedAt = now
            if mutant == .recoveryConfirms { changed.confirmed = row.generation }
            if mutant == .recoveryProlongs { changed.idleUntil = min(now + policy.idleTTL, row.maxUntil) }
            if mutant == .recoveryRenews { changed.confirmedAt = now }
            requests[id]?.change = changed
            requests[id]?.answer = .granted(changed.generation)
        case .rollback: throw failure("\(request.presented) is of a future that nobody was handed")
        case .void:
            if mutant != .voidIsRefused {
                var changed = row
                changed.endedAt = now
                requests[id]?.change = changed
            }
            requests[id]?.answer = .refused
        }
    }

    private func decide(_ row: Row, _ presented: Int64, _ now: Instant) -> RefreshDecision {
        var policy = policy
        if mutant == .endlessGrace { policy.grace = 1 << 40 }
        if mutant == .noGrace { policy.grace = 0 }
        if mutant == .noRecovery { policy.recovery = 0 }
        // A limit of 0 that matches an age of 0, or one that a clock stepped back makes 0.
        if mutant == .zeroMatches { policy.grace = max(1, policy.grace) }
        var issuedAt = row.issuedAt
        if mutant == .ageIsDistance, issuedAt > now {
            issuedAt = Instant(microseconds: 2 * now.microseconds - issuedAt.microseconds)
        }
        let session = Session(
            sid: Self.sid, clientID: Client.firstParty, generation: row.generation, confirmed: row.confirmed,
            confirmedAt: row.confirmedAt, issuedAt: issuedAt, idleUntil: row.idleUntil, maxUntil: row.maxUntil,
            endedAt: row.endedAt)
        let decision = RefreshDecision.decide(
            session, generation: presented, clientID: Client.firstParty, fence: 1, installationFence: 1, policy: policy,
            now: now)
        let isRecent = presented >= row.generation - 2 && now - row.issuedAt < policy.grace * 1_000_000
        return mutant == .recentIsSpared && decision == .void && isRecent ? .repeat : decision
    }

    private static let sid = UniqueID(high: 1, low: 1)

    /// What becomes of a commit: nearly always what was wanted.
    private enum Fate { case committed, committedUnseen, lostUnseen, refused, nodeDiesAfter, nodeDiesBefore }

    private mutating func fate() -> Fate {
        switch Int.random(in: 0..<150, using: &random) {
        case 0...1: .committedUnseen
        case 2...3: .lostUnseen
        case 4: .refused
        case 5: .nodeDiesAfter
        case 6: .nodeDiesBefore
        default: .committed
        }
    }

    mutating func commit(_ id: Int, inGroup: Bool) throws {
        guard let request = requests[id] else { return }
        let fate = request.isUnsent ? .lostUnseen : fate()
        if fate == .nodeDiesBefore { die(request.node, .isLost) }
        switch fate {
        case .committed, .committedUnseen, .nodeDiesAfter: try apply(request)
        case .lostUnseen, .refused, .nodeDiesBefore: break
        }
        if fate == .nodeDiesAfter { die(request.node, .arrives) }
        release()
        switch fate {
        case .committed: agenda.add(.hear(id, .committed), at: time)
        case .nodeDiesAfter, .nodeDiesBefore: break
        // From its group it goes alone, where the row says what happened; alone, nothing can be said.
        case .committedUnseen, .lostUnseen, .refused: agenda.add(.hear(id, inGroup ? .notDone : .unknown), at: time)
        }
    }

    mutating func rollBack(_ id: Int) {
        if holder == id { release() }
    }

    mutating func release() {
        holder = nil
        let next = waiting
        waiting = []
        for id in next {
            let isLate = time - (requests[id]?.waitsSince ?? time) >= patience / 6
            agenda.add(isLate ? .hear(id, .unknown) : .lock(id), at: time)
        }
    }

    private mutating func apply(_ request: Request) throws {
        let ended = row.endedAt
        if let change = request.change { row = change }
        noteVoidStores()
        if ended == nil, row.endedAt != nil { countEnd() }
        let complaint =
            switch request.answer {
            case .granted(let generation):
                truth.granted(generation, for: request.presented, at: request.now, row: row)
            case .refused: truth.refused(request.presented, at: request.now, row: row)
            case nil: String?.none
            }
        if let complaint { throw failure(complaint) }
    }
}
