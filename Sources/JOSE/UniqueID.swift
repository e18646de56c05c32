/// 16 bytes that name a token or a session (`jti`, `sid`): a UUID (RFC 9562) with one spelling only.
///
/// Not Foundation's `UUID`: that one reads upper case too, so that two texts would name one thing.
package struct UniqueID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The first eight bytes, big-endian.
    package let high: UInt64
    /// The last eight.
    package let low: UInt64

    /// - Parameter bytes: exactly 16, else nil.
    package init?(bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        high = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in lower case (RFC 9562 §4), any version; nil for all else.
    package init?(text: String) {
        guard text.utf8.count == 36 else { return nil }
        let halves = text.utf8.withContiguousStorageIfAvailable { Self.halves($0) } ?? Self.halves(Array(text.utf8))
        guard let halves else { return nil }
        (high, low) = halves
    }

    /// - Parameter text: of 36 bytes.
    private static func halves(_ text: some RandomAccessCollection<UInt8>) -> (UInt64, UInt64)? {
        var halves: (UInt64, UInt64) = (0, 0)
        for (position, byte) in text.enumerated() {
            let digit: UInt8
            switch (position, byte) {
            case (8, UInt8(ascii: "-")), (13, UInt8(ascii: "-")), (18, UInt8(ascii: "-")), (23, UInt8(ascii: "-")):
                continue
            case (8, _), (13, _), (18, _), (23, _): return nil
            case (_, UInt8(ascii: "0")...UInt8(ascii: "9")): digit = byte - UInt8(ascii: "0")
            case (_, UInt8(ascii: "a")...UInt8(ascii: "f")): digit = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            halves = (halves.0 << 4 | halves.1 >> 60, halves.1 << 4 | UInt64(digit))
        }
        return halves
    }

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A UUID of version 7 (RFC 9562 §5.7), which sorts by the time of its making.
    ///
    /// - Parameters:
    ///   - milliseconds: since 1970, not negative, below 2^48.
    ///   - random: at least 10 unpredictable bytes; of the first 10, 74 bits are used.
    package static func version7(millisecondsSince1970 milliseconds: Int64, random: [UInt8]) -> UniqueID {
        precondition(0..<(1 << 48) ~= milliseconds && random.count >= 10, "no UUID of version 7 can be made of these")
        let randomA = UInt64(random[0] & 0x0f) << 8 | UInt64(random[1])
        let randomB = random[2..<10].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return UniqueID(
            high: UInt64(milliseconds) << 16 | 0x7000 | randomA,
            low: randomB & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000)
    }

    package var bytes: [UInt8] {
        [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) } }
    }

    package var text: String {
        String(unsafeUninitializedCapacity: 36) { text in
            var position = 0
            for half in [high, low] {
                for shift in stride(from: UInt64(60), through: 0, by: -4) {
                    if position == 8 || position == 13 || position == 18 || position == 23 {
                        text[position] = UInt8(ascii: "-")
                        position += 1
                    }
                    let digit = UInt8(half >> shift & 15)
                    text[position] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                    position += 1
                }
            }
            return position
        }
    }

    package var description: String { text }

    package static func < (a: UniqueID, b: UniqueID) -> Bool { (a.high, a.low) < (b.high, b.low) }
}
