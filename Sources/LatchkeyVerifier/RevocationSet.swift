package import JOSE

/// What can be asked whether a token is revoked: a set held as a value, or a node's own, which is asked under its lock
/// (a copy of a set held over a verification would make the next insert copy all of it).
package protocol RevocationLookup: Sendable {
    func contains(keyID: String) -> Bool
    func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool
}

/// What is revoked: ids of tokens and sessions until they expire, and keys until they are lifted.
///
/// `jti` and `sid` stand together: both are unique, and a verifier asks for both anyway. At most 28 bytes an entry: ten
/// million revocations are some 260 MB. It is made of 256 parts that grow and shrink each for itself, so that who
/// holds it under a lock never holds up its readers for long.
package struct RevocationSet: RevocationLookup {
    package static let partCount = 256

    private var parts = [ExpiryTable](repeating: ExpiryTable(), count: partCount)
    /// Compared one by one: a leaked key is a rare event, and nothing need be allocated to ask.
    private var keyIDs: [[UInt8]] = []
    private var idCount = 0

    package init() {}

    /// Revokes a token or a session until `expiresAt` (seconds since 1970, held in 32 bits until 2106; what lies beyond
    /// is kept for ever, never dropped too early). The later of two expiries stays, in whatever order they arrive.
    package mutating func insert(_ id: UniqueID, expiresAt: Int64) {
        insert(ExpiryTable.Key(id), expiry: max(1, UInt32(clamping: expiresAt)))
    }

    private mutating func insert(_ key: ExpiryTable.Key, expiry: UInt32) {
        let before = parts[key.part].count
        parts[key.part].insert(key, expiry: expiry)
        idCount += parts[key.part].count - before
    }

    /// Revokes all that the key of this `kid` signed. It has no expiry: a leaked key forges any `exp`.
    package mutating func insert(keyID: String) {
        if !contains(keyID: keyID) { keyIDs.append(Array(keyID.utf8)) }
    }

    /// Undoes a mistaken revocation of a key.
    package mutating func lift(keyID: String) { keyIDs.removeAll { $0.elementsEqual(keyID.utf8) } }

    package func contains(_ id: UniqueID) -> Bool {
        let key = ExpiryTable.Key(id)
        return parts[key.part].contains(key)
    }

    package func contains(keyID: String) -> Bool { keyIDs.contains { $0.elementsEqual(keyID.utf8) } }

    /// Whether a token or its session is revoked.
    package func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool {
        contains(tokenID) || sessionID.map { contains($0) } ?? false
    }

    /// Drops the ids whose expiry is `now` or earlier, and the memory they held. Keys stay.
    package mutating func removeExpired(now: Int64) {
        for part in 0..<Self.partCount { removeExpired(now: now, part: part) }
    }

    /// The same for one part, from 0 to `partCount` less one: a few microseconds for each thousand entries of the part.
    package mutating func removeExpired(now: Int64, part: Int) {
        let before = parts[part].count
        parts[part].removeExpired(now: now)
        idCount -= before - parts[part].count
    }

    /// Takes in what `part` of another set holds.
    package mutating func formUnion(_ other: RevocationSet, part: Int) {
        other.parts[part].forEach { insert($0, expiry: $1) }
    }

    /// Takes in the keys that another set holds.
    package mutating func formUnionOfKeys(_ other: RevocationSet) {
        for keyID in other.keyIDs where !keyIDs.contains(keyID) { keyIDs.append(keyID) }
    }

    /// Ids and keys.
    package var count: Int { idCount + keyIDs.count }

    /// The memory that the ids take.
    package var heldBytes: Int { parts.reduce(0) { $0 + $1.heldBytes } }
}
