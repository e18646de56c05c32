package import LibCrypto

/// What a key derived from a master key is for. Each label is a key of its own: what leaks in one place opens nothing in
/// another.
package enum MasterKeyPurpose: String, Sendable, CaseIterable {
    case sealing = "latchkey/v1/sealing-of-signing-keys"
    case refreshTokens = "latchkey/v1/refresh-tokens"
    case clientSecrets = "latchkey/v1/client-secrets"
    case deviceTokens = "latchkey/v1/device-tokens"
    case guessBuckets = "latchkey/v1/guess-buckets"
}

/// The master keys, by version: the one secret outside the database, and what everything secret inside it is worthless
/// without. Each purpose derives its own key by HKDF (RFC 5869).
package struct MasterKeys: Sendable {
    /// Secret bytes of a master key.
    package static let length = 32

    private struct Derived: Sendable {
        let sealing: SecretBytes
        let refreshTokens: HMACSHA256Key
        let clientSecrets: HMACSHA256Key
        let deviceTokens: HMACSHA256Key
        let guessBuckets: HMACSHA256Key
    }

    private let derived: [Int16: Derived]

    /// The version that new things are made under: the highest.
    package let current: Int16

    package var versions: [Int16] { derived.keys.sorted() }

    /// - Throws: `MasterKeyError.none` where `keys` is empty.
    package init(_ keys: [Int16: SecretBytes]) throws {
        guard let current = keys.keys.max() else { throw MasterKeyError.missing }
        self.current = current
        derived = try keys.mapValues { master in
            func key(for purpose: MasterKeyPurpose) throws -> SecretBytes {
                try HKDFSHA256.derive(from: master, salt: [], label: purpose.rawValue, count: 32)
            }
            return Derived(
                sealing: try key(for: .sealing), refreshTokens: HMACSHA256Key(try key(for: .refreshTokens)),
                clientSecrets: HMACSHA256Key(try key(for: .clientSecrets)),
                deviceTokens: HMACSHA256Key(try key(for: .deviceTokens)),
                guessBuckets: HMACSHA256Key(try key(for: .guessBuckets)))
        }
    }

    func sealingKey(version: Int16) throws(MasterKeyError) -> SecretBytes {
        guard let keys = derived[version] else { throw .unknownVersion(version) }
        return keys.sealing
    }

    /// nil where this node does not hold that version: 503, never "invalid", since another node may.
    package func refreshTokenKey(version: Int16) -> HMACSHA256Key? { derived[version]?.refreshTokens }

    /// nil as above.
    package func clientSecretKey(version: Int16) -> HMACSHA256Key? { derived[version]?.clientSecrets }

    /// nil as above.
    package func deviceTokenKey(version: Int16) -> HMACSHA256Key? { derived[version]?.deviceTokens }

    /// Of the lowest version: while a new master key is brought to the nodes one by one, all count in the same buckets.
    package var guessBucketKey: HMACSHA256Key? { derived.keys.min().flatMap { derived[$0]?.guessBuckets } }
}

package enum MasterKeyError: Error, Sendable, Equatable {
    case missing
    case unknownVersion(Int16)
}
