internal import JOSE

/// A point in the revocation list.
///
///     position = epoch "." seq "." check
///     epoch    = UUID in lower case
///     seq      = "0" / ( %x31-39 *18DIGIT )
///     check    = 16( ALPHA / DIGIT / "-" / "_" )
struct FeedPosition: Sendable, Equatable {
    let epoch: UniqueID
    let seq: Int64
    /// As it came, and as it is sent back: ASCII.
    let word: String

    /// Nil where `word` is not as above.
    init?(_ word: String) {
        let parts = word.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let epoch = UniqueID(text: String(Substring(parts[0]))) else { return nil }
        guard 1...19 ~= parts[1].count, parts[1].allSatisfy({ 0x30...0x39 ~= $0 }),
            parts[1].count == 1 || parts[1].first != 0x30, let seq = Int64(Substring(parts[1]))
        else { return nil }
        guard parts[2].count == 16, parts[2].allSatisfy(Self.isCheck) else { return nil }
        self.epoch = epoch
        self.seq = seq
        self.word = word
    }

    private static func isCheck(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x30...0x39,
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
