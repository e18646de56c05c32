import JOSE
import LatchkeyVerifier

/// Tokens and sessions that this node refuses: those of the list as far as it was read, those of histories that were lost,
/// and its own that it has not read yet. Each id is held once, in the log that the feed is made from: 29 to 33 bytes.
struct RevokedIDs {
    /// Of the history that the database tells.
    private(set) var present: IndexedLog
    /// Of others: an id too many refuses a token, one too few accepts it.
    private var former: [IndexedLog] = []
    /// Committed by this node, which has not read them yet: few, and not for long.
    private var own: [UniqueID: UInt32] = [:]

    func contains(_ id: UniqueID) -> Bool {
        (!own.isEmpty && own[id] != nil) || present.contains(id) || former.contains { $0.contains(id) }
    }

    init(firstRun: UInt32 = 0) {
        present = IndexedLog(firstRun: firstRun)
    }

    /// How many entries are held.
    var count: Int { former.reduce(present.log.count + own.count) { $0 + $1.log.count } }

    mutating func insert(own entry: RevocationEntry) {
        if !present.contains(entry.id) { own[entry.id] = max(entry.expiry, own[entry.id] ?? 0) }
    }

    /// Takes the entry at position `seq` of the present history.
    mutating func read(_ entry: RevocationEntry, at seq: Int64) {
        present.append(entry, at: seq)
        if !own.isEmpty { own[entry.id] = nil }
    }

    /// Takes an entry that was read of a history which was lost meanwhile.
    mutating func read(lost entry: RevocationEntry) { own[entry.id] = max(entry.expiry, own[entry.id] ?? 0) }

    mutating func read(_ entry: KeyEntry) { present.log.append(entry) }

    /// Another history was met: what stands in this one's list stays refused.
    mutating func beginHistory() {
        if present.log.count > 0 { former.append(present) }
        present = IndexedLog()
    }

    /// Drops what expired at `now` or earlier from the logs; the index follows, part by part.
    ///
    /// - Returns: whether there is something for `sweep`.
    mutating func removeExpired(now: Int64) -> Bool {
        if own.contains(where: { $0.value != .max && Int64($0.value) <= now }) {
            own = own.filter { $0.value == .max || Int64($0.value) > now }
        }
        var isLess = present.removeExpired(now: now)
        for index in former.indices where former[index].removeExpired(now: now) { isLess = true }
        former.removeAll { $0.log.count == 0 }
        return isLess
    }

    /// - Parameter part: from 0 to `RevocationIndex.partCount` less one.
    mutating func sweep(part: Int) {
        present.sweep(part: part)
        for index in former.indices { former[index].sweep(part: part) }
    }
}

/// A log with its index. The feed's copies are of the log alone, or each would make the next insert copy the index.
struct IndexedLog {
    fileprivate(set) var log: RevocationLog
    private var index = RevocationIndex()

    init(firstRun: UInt32 = 0) {
        log = RevocationLog(firstRun: firstRun)
    }

    var longestWay: Int { index.longestWay }

    /// Without the heads of arrays.
    var heldBytes: Int { log.count * EntryForm.idLength + index.slotCount * 8 }

    func contains(_ id: UniqueID) -> Bool { index.contains(id) { log.has(id, at: $0) } }

    mutating func append(_ entry: RevocationEntry, at seq: Int64) {
        if let number = log.append(entry, at: seq) { index.insert(entry.id, number: number) }
    }

    mutating func removeExpired(now: Int64) -> Bool { log.removeExpired(now: now) }

    mutating func sweep(part: Int) { index.keep(part: part) { log.holds($0) } }
}
