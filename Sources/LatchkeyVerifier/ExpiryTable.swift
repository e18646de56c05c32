package import JOSE

/// Ids with an expiry each, in one part of a `RevocationSet`: an open table that is kept in order.
///
/// Three columns, 20 bytes a slot: no object, pointer or hash for an entry. An id's place is read off its mixed lower
/// half, and entries that meet stand sorted by it, so that a search for what is not there (nearly every search) ends at
/// the first greater one, even in a table that is seven eighths full. Growing by a fifth is one pass from left to
/// right: 23 to 28 bytes an entry at any size.
package struct ExpiryTable: Sendable {
    /// The lower half mixed with the upper one, which can be undone: with `highs` it is the id. `UInt64.max` in a free
    /// slot, so that a search stops there.
    private var mixed: [UInt64] = []
    private var highs: [UInt64] = []
    /// Seconds since 1970; 0 marks a free slot, `UInt32.max` an entry that never expires.
    private var expiries: [UInt32] = []
    /// The slots that are places; behind them stands the tail into which the last ones overflow.
    private var places = 0
    private(set) var count = 0

    static let never = UInt32.max
    /// Its length: that clusters do not outgrow it in a full table, and that a small one is not mostly tail.
    private static func tail(places: Int) -> Int { min(32, 4 + places / 4) }

    /// What an id is found by. The first bits choose the part of the set, those that follow the place in its table.
    package struct Key {
        package let mixed: UInt64
        let high: UInt64

        /// Of this process alone, and kept nowhere: a mirror need not be trusted, and one that knew where an id falls could
        /// send ids that all fall on a table's end, before their signature is checked, and make it grow for ever.
        private static let (mask, scale) = (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max) | 1)
        private static let (highMask, slope, secondSlope) =
            (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max) | 1, UInt64.random(in: 0 ... .max) | 1)

        package init(_ id: UniqueID) {
            // Ids are random in their lower half; the multiplications are for those that are not (RFC 9562 has more
            // versions than ours), and each step can be undone, so that no two ids share both numbers.
            // The upper half is mixed by itself first: by one multiplication the first bits of both halves would reach the
            // first bits of the sum alone, whatever the secret numbers, and thousands of ids would share one.
            var upper = (id.high ^ Self.highMask) &* Self.slope
            upper ^= upper >> 32
            upper &*= Self.secondSlope
            upper ^= upper >> 29
            var low = (id.low ^ Self.mask) &* Self.scale &+ upper
            low ^= low >> 32
            low &*= 0xd6e8_feb8_6659_fd93
            low ^= low >> 29
            mixed = low &* 0x9e37_79b9_7f4a_7c15
            high = id.high
        }

        /// Which of 256 parts it belongs to.
        package var part: Int { Int(mixed >> 56) }
    }

    /// Bytes held, without the three arrays' heads.
    var heldBytes: Int { mixed.count * 20 }

    func contains(_ key: Key) -> Bool { slot(of: key) != nil }

    /// Keeps the later of two expiries.
    /// - Parameter expiry: at least 1.
    mutating func insert(_ key: Key, expiry: UInt32) {
        if let slot = slot(of: key) {
            expiries[slot] = max(expiries[slot], expiry)
            return
        }
        if (count + 1) * 8 > places * 7 { grow() }
        while !place(key, expiry: expiry) { grow() }
        count += 1
    }

    /// Drops what expires at `now` or earlier, and the memory it held.
    mutating func removeExpired(now: Int64) {
        func isLive(_ expiry: UInt32) -> Bool { expiry != 0 && (expiry == Self.never || Int64(expiry) > now) }
        let live = expiries.reduce(0) { $0 + (isLive($1) ? 1 : 0) }
        guard live < count else { return }
        rebuild(places: Self.places(for: live), keeping: isLive)
    }

    /// Calls `body` with each entry.
    func forEach(_ body: (Key, UInt32) -> Void) {
        for slot in expiries.indices where expiries[slot] != 0 {
            body(Key(mixed: mixed[slot], high: highs[slot]), expiries[slot])
        }
    }

    private func slot(of key: Key) -> Int? {
        guard count > 0 else { return nil }
        var slot = home(of: key.mixed)
        while mixed[slot] < key.mixed { slot += 1 }
        while mixed[slot] == key.mixed && expiries[slot] != 0 {
            if highs[slot] == key.high { return slot }
            slot += 1
        }
        return nil
    }

    /// The bits behind those that chose the part, scaled to the number of places.
    private func home(of mixed: UInt64) -> Int { Int((mixed << 8).multipliedFullWidth(by: UInt64(places)).high) }

    /// Puts a new entry before the first greater one and moves those behind it up by one, as far as the next free slot.
    /// - Returns: false where the tail is full; nothing was changed then.
    private mutating func place(_ key: Key, expiry: UInt32) -> Bool {
        var slot = home(of: key.mixed)
        while mixed[slot] <= key.mixed && expiries[slot] != 0 { slot += 1 }
        var free = slot
        while expiries[free] != 0 { free += 1 }
        // The last slot stays free for ever: every search ends there.
        guard free < mixed.count - 1 else { return false }
        while free > slot {
            (mixed[free], highs[free], expiries[free]) = (mixed[free - 1], highs[free - 1], expiries[free - 1])
            free -= 1
        }
        (mixed[slot], highs[slot], expiries[slot]) = (key.mixed, key.high, expiry)
        return true
    }

    private mutating func grow() {
        rebuild(places: max(places + places / 5, places + 8)) { $0 != 0 }
    }

    /// With room for some more, so that the next entry does not make it grow at once.
    private static func places(for count: Int) -> Int { count == 0 ? 0 : count + count / 4 + 8 }

    private mutating func rebuild(places: Int, keeping isKept: (UInt32) -> Bool) {
        let old = self
        count = 0
        self.places = places
        let slots = places == 0 ? 0 : places + Self.tail(places: places)
        mixed = [UInt64](repeating: .max, count: slots)
        highs = [UInt64](repeating: 0, count: slots)
        expiries = [UInt32](repeating: 0, count: slots)
        var next = 0
        for slot in old.expiries.indices where isKept(old.expiries[slot]) {
            // They come in order: each goes to its place, or behind the one before it.
            next = max(next, home(of: old.mixed[slot]))
            guard next < slots - 1 else {
                self = old
                return rebuild(places: places + places / 5 + 8, keeping: isKept)
            }
            (mixed[next], highs[next], expiries[next]) = (old.mixed[slot], old.highs[slot], old.expiries[slot])
            next += 1
            count += 1
        }
    }
}

extension ExpiryTable.Key {
    fileprivate init(mixed: UInt64, high: UInt64) {
        self.mixed = mixed
        self.high = high
    }
}
