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
    let current: Int16
    private let key: @Sendable (Int16) -> HMACSHA256Key?

    /// - Parameter key: nil for a version that this node does not hold.
    package init(current: Int16, key: @escaping @Sendable (Int16) -> HMACSHA256Key?) {
        self.current = current
        self.key = key
    }

    /// nil where this node does not hold the version.
    func hash(_ secret: ClientSecret, for clientID: String, version: Int16) -> [UInt8]? {
        key(version).map { secret.hash(for: clientID, under: $0) }
    }

    package func hash(_ secret: ClientSecret, for clientID: String) -> ClientSecretHash {
        guard let bytes = hash(secret, for: clientID, version: current) else {
            preconditionFailure("the current master key is one that is held")
        }
        return ClientSecretHash(bytes: bytes, keyVersion: current)
    }
}
