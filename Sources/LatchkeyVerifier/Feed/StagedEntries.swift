internal import JOSE
internal import LibCrypto

/// The entries of one message that is still coming: counted and digested as they come, kept apart from the set until
/// the signature over them was verified.
struct StagedEntries {
    enum KeyChange: Equatable {
        case revoked(String)
        case lifted(String)
    }

    /// A message beyond this is refused: some 700 MB on the wire.
    static let maximumCount = 1 << 25
    /// The same for what it says of keys, which are compared one by one.
    static let maximumKeyCount = 1 << 16

    private(set) var count = 0
    /// In the order of the list: a key may be revoked and lifted in one message.
    private(set) var keys: [KeyChange] = []
    private let sha256 = RunningSHA256()
    private var few: [(id: UniqueID, expiresAt: Int64)] = []
    /// Holds them once they are many: a list of millions would take twice the memory of the set that it becomes.
    private var many: RevocationSet?

    private static let fewLimit = 4096

    mutating func append(_ entry: FeedEntry) throws(FeedFault) {
        guard count < Self.maximumCount else { throw .tooLarge }
        count += 1
        switch entry {
        case .id(_, let id, let expiresAt):
            // What cannot be told in 32 bits is kept for ever.
            few.append((id, expiresAt == .max ? .max : Int64(expiresAt)))
            if few.count == Self.fewLimit { moveFew() }
        case .key(let name): try append(.revoked(name))
        case .lift(let name): try append(.lifted(name))
        }
    }

    private mutating func append(_ change: KeyChange) throws(FeedFault) {
        guard keys.count < Self.maximumKeyCount else { throw .tooLarge }
        keys.append(change)
    }

    /// - Parameter octets: the binary form of entries that are appended.
    func digest(_ octets: ArraySlice<UInt8>) { sha256.update(octets) }

    /// The digest over all that came, once.
    func finishDigest() -> [UInt8] { sha256.finish() }

    private mutating func moveFew() {
        var set = many ?? RevocationSet()
        many = nil
        for (id, expiresAt) in few { set.insert(id, expiresAt: expiresAt) }
        few.removeAll(keepingCapacity: true)
        many = set
    }

    /// The ids as a set of their own, without the keys.
    consuming func intoSet() -> RevocationSet {
        moveFew()
        return many ?? RevocationSet()
    }

    /// Hands the ids out in steps, so that who inserts them under a lock holds it only for one.
    func forEachStep(_ step: ((inout RevocationSet) -> Void) -> Void) {
        var rest = few[...]
        while !rest.isEmpty {
            let piece = rest.prefix(256)
            step { set in for (id, expiresAt) in piece { set.insert(id, expiresAt: expiresAt) } }
            rest = rest.dropFirst(256)
        }
        guard let many else { return }
        for part in 0..<RevocationSet.partCount { step { $0.formUnion(many, part: part) } }
    }
}
