package import LibCrypto

/// What a key derived from a master key is for. Each label is a key of its own: what leaks in one place opens nothing in
/// another.
package enum MasterKeyPurpose: String, Sendable, CaseIterable {
    case sealing = "latchkey/v1/sealing-of-signing-keys"
    case refreshTokens = "latchkey/v1/refresh-tokens"
    case clientSecrets = "latchkey/v1/client-secrets"
    case deviceTokens = "latchkey/v1/device-tokens"
    case guessBuckets = "latchkey/v1/guess-buckets"
    case passwordPepper = "latchkey/v1/password-pepper"
    case idempotency = "latchkey/v1/idempotency"
    /// Stands in the database: tells whether a file holds the installation's key of its version, and nothing else of it.
    case checkValue = "latchkey/v1/check-value"
}

/// The master keys, by version: the one secret outside the database, and what everything secret inside it is worthless
/// without. Each purpose derives its own key by HKDF (RFC 5869). A value: `MasterKeyRing` holds the node's newest one.
package struct MasterKeys: Sendable {
    /// Secret bytes of a master key.
    package static let length = 32
    static let checkValueLength = 16

    private struct Derived: Sendable {
        let sealing: SecretBytes
        let refreshTokens: HMACSHA256Key
        let clientSecrets: HMACSHA256Key
        let deviceTokens: HMACSHA256Key
        let guessBuckets: HMACSHA256Key
        let passwordPepper: SecretBytes
        let idempotency: SecretBytes
        let checkValue: [UInt8]

        init(_ master: SecretBytes) throws(CryptoError) {
            func key(_ purpose: MasterKeyPurpose, count: Int = 32) throws(CryptoError) -> SecretBytes {
                try HKDFSHA256.derive(from: master, salt: [], label: purpose.rawValue, count: count)
            }
            sealing = try key(.sealing)
            refreshTokens = HMACSHA256Key(try key(.refreshTokens))
            clientSecrets = HMACSHA256Key(try key(.clientSecrets))
            deviceTokens = HMACSHA256Key(try key(.deviceTokens))
            guessBuckets = HMACSHA256Key(try key(.guessBuckets))
            passwordPepper = try key(.passwordPepper)
            idempotency = try key(.idempotency)
            checkValue = try key(.checkValue, count: MasterKeys.checkValueLength).withBytes { Array($0) }
        }
    }

    private let derived: [Int16: Derived]
    private let void: Set<Int16>
    private let verified: Set<Int16>

    /// The version that new things are made under: of those that every node holds the highest, as the installation's
    /// records say; without records the highest.
    package let current: Int16

    package var versions: [Int16] { derived.keys.sorted() }

    /// - Throws: `MasterKeyError.missing` where `keys` is empty.
    package init(_ keys: [Int16: SecretBytes]) throws {
        guard let current = keys.keys.max() else { throw MasterKeyError.missing }
        self.init(try keys.mapValues { try Derived($0) }, void: [], verified: [], current: current)
    }

    private init(_ derived: [Int16: Derived], void: Set<Int16>, verified: Set<Int16>, current: Int16) {
        self.derived = derived
        self.void = void
        self.verified = verified
        self.current = current
    }

    /// These and `more`; those that are held already stay as they are.
    func adding(_ more: [Int16: SecretBytes]) throws(CryptoError) -> MasterKeys {
        var all = derived
        for (version, key) in more where all[version] == nil { all[version] = try Derived(key) }
        return MasterKeys(all, void: void, verified: verified, current: current)
    }

    /// The same as the installation's records say of them: retired ones are forgotten, and what is current is told.
    func standing(by records: [MasterKeyRecord]) -> MasterKeys {
        let dead = Set(records.filter { !$0.isLive }.map(\.version))
        let minting = records.filter { $0.isMinting && derived[$0.version] != nil }.map(\.version).max()
        let current = minting ?? versions.last { !dead.contains($0) } ?? self.current
        let retired = Set(records.filter { $0.retiredAt != nil }.map(\.version))
        // The current one stays whatever is said of it: a node that may not mint is told so elsewhere, and must not
        // find itself without a key in the middle of an answer.
        let kept = derived.filter { version, _ in version == current || !retired.contains(version) }
        let known = records.filter { derived[$0.version].map(\.checkValue) == $0.checkValue }
        return MasterKeys(kept, void: dead, verified: Set(known.map(\.version)), current: current)
    }

    /// Whether nobody takes any more what was handed out under that version: it has been retired, or it leaked.
    package func isVoid(_ version: Int16) -> Bool { void.contains(version) }

    /// Whether the key that is held is the one that the installation knows by that version.
    func isVerified(_ version: Int16) -> Bool { verified.contains(version) }

    func checkValue(version: Int16) -> [UInt8]? { derived[version]?.checkValue }

    func sealingKey(version: Int16) throws(MasterKeyError) -> SecretBytes {
        guard let keys = derived[version] else { throw .unknownVersion(version) }
        return keys.sealing
    }

    /// nil where this node does not hold that version: 503, never "invalid", since another node may.
    package func refreshTokenKey(version: Int16) -> HMACSHA256Key? { derived[version]?.refreshTokens }

    /// nil as above. One that leaked still compares: a secret is random, and who holds the key cannot find it.
    package func clientSecretKey(version: Int16) -> HMACSHA256Key? { derived[version]?.clientSecrets }

    /// nil as above, and where the version is void.
    package func deviceTokenKey(version: Int16) -> HMACSHA256Key? {
        isVoid(version) ? nil : derived[version]?.deviceTokens
    }

    /// nil as above.
    package func passwordPepper(version: Int16) -> SecretBytes? { derived[version]?.passwordPepper }

    /// nil as above.
    package func idempotencySecret(version: Int16) -> SecretBytes? { derived[version]?.idempotency }

    /// Of the lowest version: while a new master key is brought to the nodes one by one, all count in the same buckets.
    package var guessBucketKey: HMACSHA256Key? {
        let lowest = derived.keys.filter { !isVoid($0) }.min() ?? current
        return derived[lowest]?.guessBuckets
    }
}

package enum MasterKeyError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing
    case unknownVersion(Int16)

    package var description: String {
        switch self {
        case .missing: "there is no master key: make one with `latchkey master-key init`"
        case .unknownVersion(let version): "master key \(version) is not held here: bring its file to this node"
        }
    }
}
