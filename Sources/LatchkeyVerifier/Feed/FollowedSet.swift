internal import JOSE
internal import Synchronization

/// The revocations that a follower knows, and how fresh they are: written by the follower alone, read by every
/// verification. No reader waits longer than a step of a few hundred entries takes.
final class FollowedSet: RevocationLookup {
    private struct State {
        var set = RevocationSet()
        var follower: FollowerState
    }

    private let state: Mutex<State>
    /// Announced when the position or the claim has moved.
    let changes = Changes()

    init(_ follower: FollowerState) {
        state = Mutex(State(follower: follower))
    }

    func contains(keyID: String) -> Bool { state.withLock { $0.set.contains(keyID: keyID) } }

    func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool {
        state.withLock { $0.set.contains(tokenID: tokenID, sessionID: sessionID) }
    }

    /// What a verdict rests on. Read **before** the set is asked: a set only grows in between, so that the verdict is
    /// never older than this says.
    func ground(_ now: ClockReading) -> (freshness: FollowerState.Freshness, second: Int64) {
        state.withLock { state in
            state.follower.observe(now)
            return (state.follower.freshness(now), state.follower.second(now))
        }
    }

    var follower: FollowerState { state.withLock { $0.follower } }
    var count: Int { state.withLock { $0.set.count } }
    var heldBytes: Int { state.withLock { $0.set.heldBytes } }

    // MARK: by the follower

    /// A reading of the clocks from which on a pause is to be noticed.
    func observe(_ now: ClockReading) { state.withLock { $0.follower.observe(now) } }

    func forgetPosition() { state.withLock { $0.follower.forgetPosition() } }

    /// Takes in a message whose signature and entries were verified; then only its position and its claim.
    /// - Parameter read: the clocks, read again at each use.
    func take(
        _ claims: FeedClaims, _ entries: consuming StagedEntries, answering request: FollowerState.Request?,
        clocks: Clocks
    ) async throws(FeedFault) {
        let follower = state.withLock { state in
            let now = clocks.read()
            state.follower.observe(now)
            state.follower.observe(claims, now)
            return state.follower
        }
        switch try follower.judge(claims, answering: request, at: clocks.read()) {
        case .changes(let lifts):
            entries.forEachStep { step in state.withLock { step(&$0.set) } }
            state.withLock { Self.apply(entries.keys, lifts, to: &$0.set) }
        case .wholeList(let keys):
            await replace(by: entries, keys)
        }
        state.withLock { $0.follower.didApply(claims, answering: request, at: clocks.read()) }
        changes.announce()
    }

    private func replace(by entries: consuming StagedEntries, _ keys: FollowerState.KeysOfWholeList) async {
        let keyChanges = entries.keys
        var new = entries.intoSet()
        // Built apart, out of the readers' way; nobody else writes meanwhile. The union: neither a resync nor another
        // epoch brings a revoked id back to life.
        let old = state.withLock { $0.set }
        for part in 0..<RevocationSet.partCount {
            new.formUnion(old, part: part)
            // Millions take seconds, and other tasks want this thread.
            if old.count > 1 << 16 { await Task.yield() }
        }
        if keys == .unite { new.formUnionOfKeys(old) }
        Self.apply(keyChanges, .apply, to: &new)
        // Freed outside the lock.
        withExtendedLifetime(old) { state.withLock { $0.set = new } }
    }

    private static func apply(
        _ changes: [StagedEntries.KeyChange], _ lifts: FollowerState.LiftsOfChanges, to set: inout RevocationSet
    ) {
        for change in changes {
            switch change {
            case .revoked(let keyID): set.insert(keyID: keyID)
            case .lifted(let keyID): if lifts == .apply { set.lift(keyID: keyID) }
            }
        }
    }

    /// Drops what has expired, a part at a time.
    func removeExpired(clocks: Clocks) {
        guard let second = state.withLock({ $0.follower.forget(clocks.read()) }) else { return }
        for part in 0..<RevocationSet.partCount {
            state.withLock { $0.set.removeExpired(now: second, part: part) }
        }
    }
}
