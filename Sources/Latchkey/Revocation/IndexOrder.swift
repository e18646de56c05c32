import LibCrypto

/// The order in which a list's indices are handed out: a permutation of them that follows from the list's seed, so that
/// neighbours in the list tell nothing of each other (draft-ietf-oauth-status-list §12.4 and §12.5), and nodes that hand
/// out different numbers never hand out one index.
///
/// A Feistel network over two halves of ten bits, whose round functions are tables drawn from SHA-256 of the seed.
struct IndexOrder: Sendable {
    private static let rounds = 6
    private static let half: UInt32 = 10
    private static let mask: UInt32 = 1 << half - 1

    private let tables: [UInt16]

    init(seed: [UInt8]) {
        var tables: [UInt16] = []
        var counter: UInt16 = 0
        while tables.count < Self.rounds << Self.half {
            let digest = SHA256.digest(seed + [UInt8(counter >> 8), UInt8(truncatingIfNeeded: counter)])
            for start in stride(from: 0, to: digest.count, by: 2) {
                tables.append(UInt16(digest[start]) << 8 | UInt16(digest[start + 1]))
            }
            counter += 1
        }
        self.tables = tables
    }

    /// - Parameter number: below `StatusIndex.listSize`.
    func index(of number: UInt32) -> UInt32 {
        var (left, right) = (number >> Self.half & Self.mask, number & Self.mask)
        for round in 0..<Self.rounds {
            let mixed = left ^ UInt32(tables[round << Self.half | Int(right)]) & Self.mask
            (left, right) = (right, mixed)
        }
        return left << Self.half | right
    }
}
