import JOSE
import LatchkeyVerifier

/// Which entries of a log have an id: an open table of 8 bytes a slot beside the 21 that the log holds of an entry anyway,
/// so that a node with millions of entries keeps each id once.
///
/// A slot is 32 bits of the id's hash and the entry's number in the log. Slots that meet stand sorted, so that the search
/// for what is not there (nearly every search) ends at the first greater one and the log is looked into only where 40 bits
/// of a hash agree. 256 parts grow and shrink each for itself, so that no step under a lock takes long.
struct RevocationIndex {
    static let partCount = 256

    private var parts = [Part](repeating: Part(), count: partCount)

    /// - Parameter number: of the entry in its log; its lower nine bits are not all ones, or it could pass for a free slot.
    mutating func insert(_ id: UniqueID, number: UInt32) {
        let key = ExpiryTable.Key(id)
        parts[key.part].insert(UInt64(Self.mark(key)) << 32 | UInt64(number))
    }

    /// - Parameter hasID: whether the entry of this number has the id.
    func contains(_ id: UniqueID, where hasID: (UInt32) -> Bool) -> Bool {
        let key = ExpiryTable.Key(id)
        return parts[key.part].contains(Self.mark(key), where: hasID)
    }

    /// Drops what is no longer in the log, and the memory it held.
    ///
    /// - Parameter part: from 0 to `partCount` less one: a few microseconds for each thousand entries of it.
    mutating func keep(part: Int, where isHeld: (UInt32) -> Bool) {
        parts[part].keep { isHeld(UInt32(truncatingIfNeeded: $0)) }
    }

    /// By how many slots the entry that lies furthest from its home does.
    var longestWay: Int { parts.reduce(0) { max($0, $1.longestWay) } }

    /// Slots of all parts, each of 8 bytes.
    var slotCount: Int { parts.reduce(0) { $0 + $1.slots.count } }

    /// The bits of the hash behind those that chose the part.
    private static func mark(_ key: ExpiryTable.Key) -> UInt32 { UInt32(truncatingIfNeeded: key.mixed >> 24) }
}

extension RevocationIndex {
    fileprivate struct Part {
        private static let free = UInt64.max

        private(set) var slots: [UInt64] = []
        /// The slots that are homes of a mark; behind them stands the tail into which the last ones overflow.
        private var homes = 0
        private var count = 0

        var longestWay: Int {
            slots.indices.reduce(0) { slots[$1] == Self.free ? $0 : max($0, $1 - home(of: slots[$1])) }
        }

        func contains(_ mark: UInt32, where hasID: (UInt32) -> Bool) -> Bool {
            guard count > 0 else { return false }
            let least = UInt64(mark) << 32
            var slot = home(of: least)
            while slots[slot] < least { slot += 1 }
            while slots[slot] >> 32 == UInt64(mark), slots[slot] != Self.free {
                if hasID(UInt32(truncatingIfNeeded: slots[slot])) { return true }
                slot += 1
            }
            return false
        }

        mutating func insert(_ value: UInt64) {
            if (count + 1) * 8 > homes * 7 { rebuild(homes: max(homes + homes / 5, homes + 8)) { _ in true } }
            while !place(value) { rebuild(homes: homes + homes / 5 + 8) { _ in true } }
            count += 1
        }

        mutating func keep(where isHeld: (UInt64) -> Bool) {
            let held = slots.reduce(0) { $0 + ($1 != Self.free && isHeld($1) ? 1 : 0) }
            guard held < count else { return }
            rebuild(homes: held == 0 ? 0 : held + held / 4 + 8, keeping: isHeld)
        }

        /// A mark's place, scaled to the number of homes.
        private func home(of value: UInt64) -> Int { Int(((value >> 32) * UInt64(homes)) >> 32) }

        /// Puts a value before the first greater one and moves those behind it up by one, as far as the next free slot.
        /// - Returns: false where the tail is full; nothing was changed then.
        private mutating func place(_ value: UInt64) -> Bool {
            var slot = home(of: value)
            while slots[slot] < value { slot += 1 }
            var end = slot
            while slots[end] != Self.free { end += 1 }
            // The last slot stays free for ever: every search ends there.
            guard end < slots.count - 1 else { return false }
            while end > slot {
                slots[end] = slots[end - 1]
                end -= 1
            }
            slots[slot] = value
            return true
        }

        private mutating func rebuild(homes: Int, keeping isKept: (UInt64) -> Bool) {
            let old = self
            self.homes = homes
            count = 0
            // A tail that clusters of a full table do not outgrow, and that a small one is not mostly made of.
            let length = homes == 0 ? 0 : homes + min(32, 4 + homes / 4)
            slots = [UInt64](repeating: Self.free, count: length)
            var next = 0
            for value in old.slots where value != Self.free && isKept(value) {
                // They come in order: each goes to its home, or behind the one before it.
                next = max(next, home(of: value))
                guard next < length - 1 else {
                    self = old
                    return rebuild(homes: homes + homes / 5 + 8, keeping: isKept)
                }
                slots[next] = value
                next += 1
                count += 1
            }
        }
    }
}
