import JOSE
import Postgres

/// The bits that are set in each status list: those of the sessions and epochs on the revocation list, as one reading of it
/// tells. Four bytes a bit; a list without any holds nothing.
///
/// A bit is cleared some time after its entry has expired, when no token is left that names it.
struct StatusBits: Sendable {
    /// Nanoseconds after which what has expired is left out.
    private static let mostAge: Int64 = 60_000_000_000

    struct List: Sendable, Equatable {
        fileprivate(set) var indices: [UInt32] = []
        /// Another one whenever the bits are others; 0 while there is none.
        fileprivate(set) var version = 0
    }

    private let history: Int
    private let madeAt: BootInstant
    private var seq: Int64
    private var lists: [StatusListID: List] = [:]

    /// Of the whole revocation list.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970; nil: whatever is held.
    ///   - old: the bits before, which keep their version where they are the same.
    ///   - version: above 0, of all others; no other reading has the same.
    init(
        _ extract: RevocationList.Extract, now: Int64?, replacing old: StatusBits?, version: Int,
        at boot: BootInstant = .now()
    ) {
        history = extract.history
        madeAt = boot
        seq = extract.position.seq
        append(extract.log.extract(after: nil, through: seq, now: now).pieces, version)
        for (id, list) in lists {
            if let before = old?.lists[id], before.indices == list.indices { lists[id]?.version = before.version }
        }
    }

    subscript(list: StatusListID) -> List { lists[list] ?? List() }

    /// Whether it can go on with `extract`, or must be made anew.
    func leads(to extract: RevocationList.Extract, at boot: BootInstant = .now()) -> Bool {
        extract.history == history && extract.position.seq >= seq && boot - madeAt < Self.mostAge
    }

    /// Takes in what `extract` has behind the last one; lists that it changes bear `version`.
    mutating func follow(_ extract: RevocationList.Extract, version: Int) {
        guard extract.position.seq > seq else { return }
        append(extract.log.extract(after: seq, through: extract.position.seq, now: nil).pieces, version)
        seq = extract.position.seq
    }

    /// - Parameter pieces: entries in binary (`EntryForm`).
    private mutating func append(_ pieces: [[UInt8]], _ version: Int) {
        for piece in pieces where piece.first.map({ $0 < 3 }) == true {
            for start in stride(from: 0, to: piece.count, by: EntryForm.idLength) where piece[start] == 2 {
                guard let status = StatusIndex(of: Self.id(piece, at: start + 1)) else { continue }
                lists[status.list, default: List()].indices.append(status.index)
                lists[status.list]?.version = version
            }
        }
    }

    private static func id(_ bytes: [UInt8], at start: Int) -> UniqueID {
        var (high, low): (UInt64, UInt64) = (0, 0)
        for offset in 0..<8 {
            high = high << 8 | UInt64(bytes[start + offset])
            low = low << 8 | UInt64(bytes[start + 8 + offset])
        }
        return UniqueID(high: high, low: low)
    }
}
