package import JOSE
import LibCrypto
package import Logging
import Postgres
import Synchronization

/// The key that signs the feed: Ed25519, one for the installation, sealed in the database under the master key. It signs
/// nothing else, and no other key signs the feed: a thief of a token key would sign "nothing is revoked".
package final class FeedKey: Sendable {
    private struct Opened: Sendable {
        let sealed: SealedFeedKey
        let key: PrivateKey
        let publicKey: JSONWebKey
        let jwks: JSONValue

        init(_ sealed: SealedFeedKey, _ key: PrivateKey) {
            (self.sealed, self.key) = (sealed, key)
            publicKey = JSONWebKey(key.publicKey)
            jwks = ["keys": [.object(publicKey.json)]]
        }
    }

    private static let type = "latchkey-feed+jwt"

    private let database: Database
    private let masterKeys: MasterKeyRing
    private let opened = Mutex<Opened?>(nil)
    /// Which history it was read of last.
    private let history = Mutex(0)
    private let isFailing = Mutex(false)

    /// - Parameter database: the pulse's: the tick waits for it.
    init(_ database: Database, masterKeys: MasterKeyRing) {
        self.database = database
        self.masterKeys = masterKeys
    }

    /// Makes the key where the installation has none, sees to its seal, and opens it. Of several nodes that do so at once
    /// one does.
    ///
    /// - Throws: `MasterKeyError` where it is sealed under a master key that this node does not hold, `CryptoError` where
    ///   it does not open.
    package func found() async throws {
        let keys = masterKeys.keys
        let stored = try await database.query(FeedKeySQL.read).first.map { try SealedFeedKey($0) }
        if let stored {
            if mustGo(stored) {
                let new = try SealedFeedKey(try PrivateKey.generate(.edDSA), under: keys)
                try await database.query(FeedKeySQL.replace(stored.kid, new))
            } else if stored.masterKeyVersion < keys.current {
                try await database.query(FeedKeySQL.reseal(try SealedFeedKey(try stored.open(with: keys), under: keys)))
            }
        } else {
            try await database.query(
                FeedKeySQL.insert(try SealedFeedKey(try PrivateKey.generate(.edDSA), under: keys)))
        }
        let sealed = try SealedFeedKey(try await database.query(FeedKeySQL.read).one())
        let key = try sealed.open(with: keys)
        opened.withLock { $0 = Opened(sealed, key) }
    }

    /// Called after every reading of the node's tick. What fails is told once and tried again at the next.
    package func follow(_ reading: RevocationList.Reading, logger: Logger) async {
        do {
            try await follow(reading)
            isFailing.withLock { $0 = false }
        } catch {
            let isFirst = isFailing.withLock { isFailing in
                defer { isFailing = true }
                return !isFailing
            }
            guard isFirst else { return }
            logger.error(
                "the feed's key cannot follow the master keys: tried again at every reading",
                metadata: ["error": "\(error)"])
        }
    }

    /// Costs nothing while master keys and history are what they were.
    private func follow(_ reading: RevocationList.Reading) async throws {
        let isOther = history.withLock { $0 < reading.number }
        guard let sealed = opened.withLock({ $0?.sealed }),
            isOther || mustGo(sealed) || sealed.masterKeyVersion < masterKeys.keys.current
        else { return }
        try await found()
        history.withLock { $0 = max($0, reading.number) }
    }

    /// A master key leaked that it was ever sealed under, and with a backup the feed key; or the one that it is sealed
    /// under is retired, and nobody can open it.
    private func mustGo(_ key: SealedFeedKey) -> Bool {
        let keys = masterKeys.keys
        // The new one must be under a key that has not leaked, or it would have to go as well.
        guard !keys.isVoid(keys.current) else { return false }
        let versions = key.firstMasterKeyVersion...key.masterKeyVersion
        return keys.isVoid(key.masterKeyVersion)
            || masterKeys.records.contains { $0.compromisedAt != nil && versions.contains($0.version) }
    }

    /// The JWKS of the discovery document; nil before the key is opened.
    package var jwks: JSONValue? {
        opened.withLock { $0?.jwks }
    }

    /// A JWS with these claims. Some 50 µs: less than a hop to another thread.
    ///
    /// - Throws: `Rejection.unavailable` before the key is opened.
    func sign(_ claims: JSONObject) throws -> String {
        guard let opened = opened.withLock({ $0 }) else { throw Rejection.unavailable(retryAfter: 1) }
        return try JSONWebSignature.sign(
            payload: claims.encoded(), key: opened.key, keyID: opened.publicKey.keyID, type: Self.type)
    }
}

/// The feed key as it stands in the database: AES-256-GCM, bound by its associated data to its purpose and `kid`.
struct SealedFeedKey: Sendable {
    let kid: String
    let sealed: [UInt8]
    let masterKeyVersion: Int16
    /// The oldest that it was ever sealed under: it stands so in backups.
    let firstMasterKeyVersion: Int16

    init(_ key: PrivateKey, under masterKeys: MasterKeys) throws {
        kid = JSONWebKey(key.publicKey).keyID
        masterKeyVersion = masterKeys.current
        firstMasterKeyVersion = masterKeyVersion
        sealed = try AES256GCM.seal(
            try key.pkcs8(), key: try masterKeys.sealingKey(version: masterKeyVersion),
            associatedData: Self.associatedData(kid: kid))
    }

    init(_ row: ResultSet.Row) throws(PostgresError) {
        let sealed: Bytes = try row.decode("sealed")
        self.sealed = sealed.bytes
        kid = try row.decode("kid")
        masterKeyVersion = try row.decode("master_key")
        firstMasterKeyVersion = try row.decode("first_master_key")
    }

    func open(with masterKeys: MasterKeys) throws -> PrivateKey {
        let der = try AES256GCM.open(
            sealed, key: try masterKeys.sealingKey(version: masterKeyVersion),
            associatedData: Self.associatedData(kid: kid))
        return try PrivateKey(pkcs8: der, algorithm: .edDSA)
    }

    private static func associatedData(kid: String) -> [UInt8] { Array("feed-key\n\(kid)".utf8) }
}

/// Every statement on `feed_key`.
enum FeedKeySQL {
    static let read: Query = "SELECT kid, sealed, master_key, first_master_key FROM feed_key"

    static func insert(_ key: SealedFeedKey) -> Query {
        """
        INSERT INTO feed_key (kid, sealed, master_key, first_master_key)
        VALUES (\(key.kid), \(Bytes(key.sealed)), \(key.masterKeyVersion), \(key.firstMasterKeyVersion))
        ON CONFLICT (single) DO NOTHING
        """
    }

    static func reseal(_ key: SealedFeedKey) -> Query {
        """
        UPDATE feed_key
        SET sealed = \(Bytes(key.sealed)), master_key = \(key.masterKeyVersion)
        WHERE kid = \(key.kid) AND master_key < \(key.masterKeyVersion)
        """
    }

    static func replace(_ old: String, _ key: SealedFeedKey) -> Query {
        """
        UPDATE feed_key
        SET kid = \(key.kid), sealed = \(Bytes(key.sealed)), master_key = \(key.masterKeyVersion),
            first_master_key = \(key.firstMasterKeyVersion), created_at = clock_timestamp()
        WHERE kid = \(old)
        """
    }
}
