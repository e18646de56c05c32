package import JOSE

/// What can be asked whether a token is revoked: a set held as a value, or a node's own, which is asked under its lock (a
/// copy of a set held over a verification would make the next insert copy all of it).
package protocol RevocationLookup: Sendable {
    func contains(keyID: String) -> Bool
    func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool
}

/// What is revoked: ids of tokens and sessions until they expire, and keys until they are lifted.
///
/// `jti` and `sid` stand in one dictionary: both are unique, and a verifier asks for both anyway. 20 bytes an entry and
/// the dictionary's slack: a million revocations are some 40 MB.
package struct RevocationSet: RevocationLookup {
    /// Seconds since 1970, held in 32 bits until 2106; what lies beyond is kept for ever, never dropped too early.
    private var expiries: [UniqueID: UInt32] = [:]
    private var keyIDs: Set<[UInt8]> = []

    package init() {}

    /// Revokes a token or a session until `expiresAt` (seconds since 1970). The later of two expiries stays, in whatever
    /// order they arrive.
    package mutating func insert(_ id: UniqueID, expiresAt: Int64) {
        let expiry = UInt32(clamping: expiresAt)
        expiries[id] = max(expiries[id] ?? 0, expiry)
    }

    /// Revokes all that the key of this `kid` signed. It has no expiry: a leaked key forges any `exp`.
    package mutating func insert(keyID: String) { keyIDs.insert(Array(keyID.utf8)) }

    /// Undoes a mistaken revocation of a key.
    package mutating func lift(keyID: String) { keyIDs.remove(Array(keyID.utf8)) }

    package func contains(_ id: UniqueID) -> Bool { expiries[id] != nil }

    package func contains(keyID: String) -> Bool { !keyIDs.isEmpty && keyIDs.contains(Array(keyID.utf8)) }

    /// Whether a token or its session is revoked.
    package func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool {
        contains(tokenID) || sessionID.map { contains($0) } ?? false
    }

    /// Drops the ids whose expiry is `now` or earlier, and the memory they held. Keys stay.
    package mutating func removeExpired(now: Int64) {
        expiries = expiries.filter { $0.value == .max || Int64($0.value) > now }
    }

    /// Ids and keys.
    package var count: Int { expiries.count + keyIDs.count }
}
