package import JOSE
import LibCrypto
import Postgres
import Synchronization

/// The key that signs the feed: Ed25519, one for the installation, sealed in the database under the master key. It signs
/// nothing else, and no other key signs the feed: a thief of a token key would sign "nothing is revoked".
package final class FeedKey: Sendable {
    private struct Opened: Sendable {
        let key: PrivateKey
        let publicKey: JSONWebKey
    }

    private static let type = "latchkey-feed+jwt"

    private let database: Database
    private let masterKeys: MasterKeys
    private let opened = Mutex<Opened?>(nil)

    init(_ database: Database, masterKeys: MasterKeys) {
        self.database = database
        self.masterKeys = masterKeys
    }

    /// Makes the key where the installation has none, and opens it. Of several nodes that found it at once one does.
    ///
    /// - Throws: `MasterKeyError` where it is sealed under a master key that this node does not hold, `CryptoError` where
    ///   it does not open.
    package func found() async throws {
        var row = try await database.query(FeedKeySQL.read).first
        if row == nil {
            let new = try NewFeedKey(under: masterKeys)
            try await database.query(FeedKeySQL.insert(new))
            row = try await database.query(FeedKeySQL.read).one()
        }
        guard let row else { return }
        let sealed: Bytes = try row.decode("sealed")
        let key = try NewFeedKey.open(
            sealed.bytes, kid: try row.decode("kid"), version: try row.decode("master_key"), with: masterKeys)
        let publicKey = JSONWebKey(key.publicKey)
        opened.withLock { $0 = Opened(key: key, publicKey: publicKey) }
    }

    /// The JWKS of the discovery document; nil before the key is opened.
    package var jwks: JSONValue? {
        opened.withLock { $0 }.map { ["keys": [.object($0.publicKey.json)]] }
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

/// A feed key just generated, its private half sealed: AES-256-GCM, bound by its associated data to its purpose and `kid`.
struct NewFeedKey: Sendable {
    let kid: String
    let sealed: [UInt8]
    let masterKeyVersion: Int16

    init(under masterKeys: MasterKeys) throws {
        let key = try PrivateKey.generate(.edDSA)
        kid = JSONWebKey(key.publicKey).keyID
        masterKeyVersion = masterKeys.current
        sealed = try AES256GCM.seal(
            try key.pkcs8(), key: try masterKeys.sealingKey(version: masterKeyVersion),
            associatedData: Self.associatedData(kid: kid))
    }

    static func open(
        _ sealed: [UInt8], kid: String, version: Int16, with masterKeys: MasterKeys
    ) throws -> PrivateKey {
        let der = try AES256GCM.open(
            sealed, key: try masterKeys.sealingKey(version: version), associatedData: associatedData(kid: kid))
        return try PrivateKey(pkcs8: der, algorithm: .edDSA)
    }

    private static func associatedData(kid: String) -> [UInt8] { Array("feed-key\n\(kid)".utf8) }
}

enum FeedKeySQL {
    static let read: Query = "SELECT kid, sealed, master_key FROM feed_key"

    static func insert(_ key: NewFeedKey) -> Query {
        """
        INSERT INTO feed_key (kid, sealed, master_key)
        VALUES (\(key.kid), \(Bytes(key.sealed)), \(key.masterKeyVersion))
        ON CONFLICT (single) DO NOTHING
        """
    }
}
