import JOSE
package import LibCrypto

/// A client's secret: `"lkcs_" BASE64URL( 32 random bytes )`, a beginning that scanners of leaked secrets can look for, and
/// nothing that a form or HTTP Basic would have to encode. What a request presents may be any text.
package struct ClientSecret: Sendable, CustomStringConvertible, CustomReflectable {
    package static let prefix = "lkcs_"

    package let text: String

    /// Of a request.
    package init(presented text: String) {
        self.text = text
    }

    package static func random() -> ClientSecret {
        ClientSecret(presented: prefix + Base64URL.encode(SecureRandom.bytes(32)))
    }

    /// Bound to the client: what is stored for one opens no other. No id has a NUL.
    func hash(for clientID: String, under key: HMACSHA256Key) -> [UInt8] {
        key.authenticate(Array(clientID.utf8) + [0] + Array(text.utf8))
    }

    package var description: String { "****" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// What is stored of a secret.
package struct ClientSecretHash: Sendable {
    /// 32 bytes.
    package let bytes: [UInt8]
    /// The version of the master key that it was made under.
    package let keyVersion: Int16
}

/// The keys that secrets are hashed under, by the version of their master key.
package struct ClientSecretKeys: Sendable {
    package enum Key: Sendable {
        case held(HMACSHA256Key)
        /// Nobody holds it any more: what was hashed under it opens nothing.
        case retired
        /// This node does not hold it; another may.
        case unknown
    }

    private let currentVersion: @Sendable () -> Int16
    private let key: @Sendable (Int16) -> Key

    /// - Parameter current: the version that new secrets are hashed under.
    package init(current: @escaping @Sendable () -> Int16, key: @escaping @Sendable (Int16) -> Key) {
        currentVersion = current
        self.key = key
    }

    var current: Int16 { currentVersion() }

    func isRetired(_ version: Int16) -> Bool {
        if case .retired = key(version) { true } else { false }
    }

    /// nil where this node does not hold the version.
    func hash(_ secret: ClientSecret, for clientID: String, version: Int16) -> [UInt8]? {
        guard case .held(let key) = key(version) else { return nil }
        return secret.hash(for: clientID, under: key)
    }

    /// What to store in place of the present secret's hash, so that it comes under the current version; nil where it is
    /// there already, or `claim` showed another one.
    func renewal(of claim: ClaimedClient, _ client: ClientOnFile) -> (old: ClientSecretHash, new: ClientSecretHash)? {
        guard let secret = claim.secret, let present = client.secrets.first, present.keyVersion < current,
            let hash = hash(secret, for: claim.id, version: present.keyVersion),
            constantTimeEquals(present.bytes, hash)
        else { return nil }
        return (present, self.hash(secret, for: claim.id))
    }

    package func hash(_ secret: ClientSecret, for clientID: String) -> ClientSecretHash {
        // Once: it may change between two looks.
        let version = current
        guard let bytes = hash(secret, for: clientID, version: version) else {
            preconditionFailure("the current master key is one that is held")
        }
        return ClientSecretHash(bytes: bytes, keyVersion: version)
    }
}
