package import JOSE

/// The number of a status list (draft-ietf-oauth-status-list §4): drawn at random, so that numbers tell neither how many
/// lists there were nor in which order.
package struct StatusListID: Hashable, Sendable, Comparable {
    package let number: UInt32

    package init(_ number: UInt32) {
        self.number = number
    }

    /// Eight digits of `0-9 a-f`; nil for all else: one list has one address.
    package init?(text: String) {
        guard text.utf8.count == 8, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 }),
            let number = UInt32(text, radix: 16)
        else { return nil }
        self.init(number)
    }

    package var text: String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 8 - digits.utf8.count) + digits
    }

    package static func < (a: StatusListID, b: StatusListID) -> Bool { a.number < b.number }
}

/// Where in the status lists the bit of a session stands, or of a client's epoch. The id itself says it: a session stays
/// one row, and whoever reads an entry of the revocation list knows its bit, whatever ended the session.
///
/// Such an id is a UUID of version 8 (RFC 9562 §5.8) that sorts by the time of its making, as one of version 7 does:
///
///     unix_ts_ms   48 bits
///     ver           4 bits   8
///     random       12 bits
///     var           2 bits   %b10
///     list         32 bits
///     index        20 bits
///     random       10 bits
package struct StatusIndex: Hashable, Sendable {
    /// Bits of a list: 128 KiB before compression.
    package static let listSize: UInt32 = 1 << 20

    package let list: StatusListID
    /// Below `listSize`.
    package let index: UInt32

    package init(list: StatusListID, index: UInt32) {
        self.list = list
        self.index = index
    }

    /// nil for an id that was made without a bit: one of another version.
    package init?(of id: UniqueID) {
        guard id.high >> 12 & 15 == 8, id.low >> 62 == 2 else { return nil }
        self.init(
            list: StatusListID(UInt32(truncatingIfNeeded: id.low >> 30)),
            index: UInt32(truncatingIfNeeded: id.low >> 10) & (Self.listSize - 1))
    }

    /// The id of what has its bit here.
    ///
    /// - Parameters:
    ///   - milliseconds: since 1970, not negative, below 2^48.
    ///   - random: at least 3 unpredictable bytes, of which 22 bits are used.
    package func id(millisecondsSince1970 milliseconds: Int64, random: [UInt8]) -> UniqueID {
        precondition(0..<(1 << 48) ~= milliseconds && random.count >= 3, "no UUID of version 8 can be made of these")
        let bits = random[..<3].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return UniqueID(
            high: UInt64(milliseconds) << 16 | 0x8000 | bits >> 10 & 0xfff,
            low: 2 << 62 | UInt64(list.number) << 30 | UInt64(index) << 10 | bits & 0x3ff)
    }
}

/// The addresses of an issuer's status lists.
package struct StatusListAddresses: Sendable {
    /// Where the lists are named (draft §9).
    package let aggregation: String

    package init(issuer: String) {
        aggregation = issuer + "/status-lists"
    }

    /// The list's `uri` and `sub`.
    package func uri(of list: StatusListID) -> String { "\(aggregation)/\(list.text)" }
}
