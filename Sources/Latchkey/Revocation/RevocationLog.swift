/// The list in its order, as the feed hands it out: entries that may be alive, in their binary form, so that a message is
/// made without the database and without touching each entry. 21 bytes an entry.
///
/// Positions are not held for each: ids stand in runs of consecutive ones. A run that has wholly expired is dropped. A copy
/// shares its runs with the original; an append then copies the last run alone.
package struct RevocationLog: Sendable {
    /// Entries of one run, and so of one event of the stream.
    static let longestRun = 500

    fileprivate struct Run {
        let first: Int64
        var forms: [UInt8] = []
        var earliestExpiry = UInt32.max
        var latestExpiry: UInt32 = 0

        var count: Int { forms.count / EntryForm.idLength }
        var end: Int64 { first + Int64(count) }

        mutating func append(_ entry: RevocationEntry) {
            EntryForm.append(entry, to: &forms)
            earliestExpiry = min(earliestExpiry, entry.expiry)
            latestExpiry = max(latestExpiry, entry.expiry)
        }
    }

    private var runs: [Run] = []
    /// All that ever were: a few.
    private var keys: [KeyEntry] = []
    private var last: Int64 = 0

    init() {}

    /// Ids that it holds.
    package var count: Int { runs.reduce(0) { $0 + $1.count } }

    /// Takes the entry at position `seq`. One that was taken before changes nothing: two readings may run at once.
    mutating func append(_ entry: RevocationEntry, at seq: Int64) {
        guard seq > last else { return }
        last = seq
        if let tail = runs.indices.last, runs[tail].end == seq, runs[tail].count < Self.longestRun {
            runs[tail].append(entry)
        } else {
            // What the growing of an array has left over is given back.
            if let tail = runs.indices.last { runs[tail].forms = Array(runs[tail].forms[...]) }
            var run = Run(first: seq)
            run.append(entry)
            runs.append(run)
        }
    }

    /// In their order, each once.
    mutating func append(_ entry: KeyEntry) {
        guard entry.seq > keys.last?.seq ?? 0 else { return }
        keys.append(entry)
    }

    mutating func removeExpired(now: Int64) {
        runs.removeAll { $0.latestExpiry != .max && Int64($0.latestExpiry) <= now }
    }

    /// How many entries at most lie behind `seq`.
    package func count(after seq: Int64) -> Int {
        runs.reduce(keys.count { $0.seq > seq }) { $0 + ($1.end > seq + 1 ? $1.count : 0) }
    }

    /// Entries in their order, in pieces that hold either lifts alone or none, each of at most `longestRun` ids.
    package struct Extract: Sendable {
        package fileprivate(set) var pieces: [[UInt8]] = []
        package fileprivate(set) var count = 0

        fileprivate mutating func add(_ forms: [UInt8], count: Int) {
            guard count > 0 else { return }
            pieces.append(forms)
            self.count += count
        }
    }

    /// What lies behind `after` and not behind `end`, as far as it may be alive.
    ///
    /// - Parameters:
    ///   - after: nil: the whole list. It holds no key that was lifted, and no lift.
    ///   - end: a position that was read.
    ///   - now: seconds since 1970; nil: whatever is held.
    package func extract(after: Int64?, through end: Int64, now: Int64?) -> Extract {
        var extract = Extract()
        let start = after ?? 0
        var keys = self.keys.filter { $0.seq > start && $0.seq <= end }
        if after == nil {
            let latest = Dictionary(keys.map { (Array($0.keyID.utf8), $0.seq) }, uniquingKeysWith: { max($0, $1) })
            keys.removeAll { $0.kind == .lift || latest[Array($0.keyID.utf8)] != $0.seq }
        }
        var next = keys.startIndex
        func addKeys(before seq: Int64) {
            while next < keys.endIndex, keys[next].seq < seq {
                var forms: [UInt8] = []
                EntryForm.append(keys[next], to: &forms)
                extract.add(forms, count: 1)
                next += 1
            }
        }
        for run in runs where run.end > start + 1 && run.first <= end {
            // No key stands amid a run: its position would be missing there.
            addKeys(before: run.first)
            let (forms, count) = run.living(after: start, through: end, now: now)
            extract.add(forms, count: count)
        }
        addKeys(before: .max)
        return extract
    }
}

extension RevocationLog.Run {
    fileprivate func living(after: Int64, through end: Int64, now: Int64?) -> (forms: [UInt8], count: Int) {
        let (from, to) = (Int(max(0, after + 1 - first)), Int(min(Int64(count), end + 1 - first)))
        let isAlive = now.map { Int64(earliestExpiry) > $0 } ?? true
        if isAlive, from == 0, to == count { return (forms, count) }
        var living: [UInt8] = []
        for index in from..<to {
            let start = index * EntryForm.idLength
            let expiry = EntryForm.expiry(forms, at: start)
            if let now, expiry != .max, Int64(expiry) <= now { continue }
            living += forms[start..<(start + EntryForm.idLength)]
        }
        return (living, living.count / EntryForm.idLength)
    }
}
