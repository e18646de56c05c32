import JOSE

/// The list in its order, as the feed hands it out: entries that may be alive, in their binary form, so that a message is
/// made without the database and without touching each entry. 21 bytes an entry.
///
/// Positions are not held for each: ids stand in runs of consecutive ones, and runs in chapters. A run that has wholly
/// expired is dropped. A copy shares all with the original; an append then copies the last run and its chapter alone.
package struct RevocationLog: Sendable {
    /// Entries of one run, and so of one event of the stream.
    static let longestRun = 500
    private static let longestChapter = 256

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

        func isSpent(now: Int64) -> Bool {
            !forms.isEmpty && latestExpiry != .max && Int64(latestExpiry) <= now
        }
    }

    /// An entry's number: which run it is in, of all that ever were (they count up and wrap around long after an entry has
    /// gone), and its place there in the lower nine bits.
    private struct Number {
        static let runs = UInt32.max >> 9
        let run: UInt32
        let place: Int

        init(_ number: UInt32) {
            run = number >> 9
            place = Int(number & 511)
        }

        static func of(run: UInt32, place: Int) -> UInt32 { (run & runs) << 9 | UInt32(place) }
    }

    /// All but the last have `longestChapter` runs, of which any may have been dropped.
    private var chapters: [[Run]] = []
    /// The number of the first run held.
    private var firstRun: UInt32
    /// All that ever were: a few.
    private var keys: [KeyEntry] = []
    private var last: Int64 = 0
    /// Ids that it holds.
    package private(set) var count = 0

    /// - Parameter firstRun: another than 0 only where a test lets the numbers wrap around.
    init(firstRun: UInt32 = 0) {
        self.firstRun = firstRun
    }

    private var runCount: Int { chapters.last.map { (chapters.count - 1) * Self.longestChapter + $0.count } ?? 0 }

    private subscript(run: Int) -> Run { chapters[run / Self.longestChapter][run % Self.longestChapter] }

    /// Takes the entry at position `seq`.
    ///
    /// - Returns: its number; nil where it was taken before: two readings may run at once.
    @discardableResult
    mutating func append(_ entry: RevocationEntry, at seq: Int64) -> UInt32? {
        guard seq > last else { return nil }
        last = seq
        count += 1
        let tail = runCount - 1
        let isNext = tail >= 0 && self[tail].end == seq
        guard !isNext || self[tail].count == Self.longestRun else {
            chapters[chapters.count - 1][tail % Self.longestChapter].append(entry)
            return Number.of(run: firstRun &+ UInt32(tail), place: self[tail].count - 1)
        }
        var run = Run(first: seq)
        if isNext {
            // More will come: no larger than they need.
            run.forms.reserveCapacity(Self.longestRun * EntryForm.idLength)
        } else if tail >= 0 {
            // What the growing of an array has left over is given back.
            let forms = self[tail].forms
            chapters[chapters.count - 1][tail % Self.longestChapter].forms = Array(forms[...])
        }
        run.append(entry)
        if (tail + 1) % Self.longestChapter == 0 { chapters.append([]) }
        chapters[chapters.count - 1].append(run)
        return Number.of(run: firstRun &+ UInt32(tail + 1), place: 0)
    }

    /// In their order, each once.
    mutating func append(_ entry: KeyEntry) {
        guard entry.seq > keys.last?.seq ?? 0 else { return }
        keys.append(entry)
    }

    /// - Returns: whether there was something to remove.
    @discardableResult
    mutating func removeExpired(now: Int64) -> Bool {
        let before = count
        for chapter in chapters.indices {
            for run in chapters[chapter].indices where chapters[chapter][run].isSpent(now: now) {
                count -= chapters[chapter][run].count
                chapters[chapter][run].forms = []
            }
        }
        let spent = chapters.prefix { $0.count == Self.longestChapter && $0.allSatisfy(\.forms.isEmpty) }.count
        chapters.removeFirst(spent)
        firstRun = firstRun &+ UInt32(spent * Self.longestChapter)
        return count < before
    }

    private func run(of number: Number) -> Run? {
        let index = Int((number.run &- firstRun) & Number.runs)
        return index < runCount ? self[index] : nil
    }

    /// Whether the entry of that number is held.
    func holds(_ number: UInt32) -> Bool {
        let number = Number(number)
        return run(of: number).map { number.place < $0.count } ?? false
    }

    /// Whether the entry of that number is held and has this id.
    func has(_ id: UniqueID, at number: UInt32) -> Bool {
        let number = Number(number)
        guard let run = run(of: number), number.place < run.count else { return false }
        return EntryForm.id(run.forms, at: number.place * EntryForm.idLength) == id
    }

    /// All but those that end before `seq`, and one of these.
    private func runs(from seq: Int64) -> Range<Int> {
        var (low, high) = (0, runCount)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].first <= seq { low = middle + 1 } else { high = middle }
        }
        return max(0, low - 1)..<runCount
    }

    /// How many entries at most lie behind `seq`.
    package func count(after seq: Int64) -> Int {
        runs(from: seq + 1).reduce(keys.count { $0.seq > seq }) { sum, index in
            self[index].end > seq + 1 ? sum + self[index].count : sum
        }
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
        for index in runs(from: start + 1) {
            let run = self[index]
            guard run.first <= end else { break }
            guard run.end > start + 1 else { continue }
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
