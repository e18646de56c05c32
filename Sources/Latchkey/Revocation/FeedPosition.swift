package import JOSE
package import Postgres

/// A point in the list. Dense, in the order of commits, within one epoch. An opaque word to whoever holds it:
///
///     position = epoch "." seq "." check
///     epoch    = UUID in lower case
///     seq      = "0" / ( %x31-39 *18DIGIT )
///     check    = 16( ALPHA / DIGIT / "-" / "_" )
package struct FeedPosition: Sendable, Hashable {
    /// Of the list's digest: a history that lost its end and grew again has other entries at the same numbers.
    private static let checkLength = 12

    package let epoch: UniqueID
    package let seq: Int64
    private let check: [UInt8]

    /// - Parameter digest: the list's, at `seq`.
    package init(epoch: UniqueID, seq: Int64, digest: [UInt8]) {
        self.epoch = epoch
        self.seq = seq
        check = Array(digest.prefix(Self.checkLength))
    }

    /// nil for whatever is not spelled as above.
    package init?(word: String) {
        let parts = Array(word.utf8).split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3, let epoch = UniqueID(text: String(decoding: parts[0], as: UTF8.self)),
            (1...19).contains(parts[1].count), parts[1].allSatisfy({ (0x30...0x39).contains($0) }),
            parts[1].first != 0x30 || parts[1].count == 1, let seq = Int64(String(decoding: parts[1], as: UTF8.self)),
            let check = Base64URL.decode(parts[2]), check.count == Self.checkLength
        else { return nil }
        self.init(epoch: epoch, seq: seq, digest: check)
    }

    /// What `Latchkey-Position` says.
    package var word: String { "\(epoch.text).\(seq).\(Base64URL.encode(check))" }

    /// Of a row with the head's `epoch`, `seq` and `digest`.
    package init(_ row: ResultSet.Row) throws(PostgresError) {
        let digest: Bytes = try row.decode("digest")
        self.init(epoch: try row.decode("epoch"), seq: try row.decode("seq"), digest: digest.bytes)
    }

    /// Whether `digest` is the one that the list had here.
    package func has(_ digest: Bytes?) -> Bool {
        digest.map { FeedPosition(epoch: epoch, seq: seq, digest: $0.bytes) == self } ?? false
    }
}
