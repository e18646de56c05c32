import JOSE
import LibCrypto
package import PKCS11

/// Where a signing key's private half is.
package enum KeyHolder: String, Sendable, CaseIterable {
    /// In its row, sealed under a master key.
    case database
    /// In the installation's PKCS #11 token, whose CKA_ID is the bytes of the `kid`. The row holds nothing secret.
    case token
}

/// By HTTP a 503, as `SigningKeyError`.
extension SecurityTokenError: LoggableError {
    package var loggable: String { description }
    package var retryAfter: Int? { 5 }
}

extension SecurityToken {
    /// Makes a key pair in the token, found from now on by its thumbprint. Blocks: a thread of its own alone calls it.
    func newKey(_ algorithm: SignatureAlgorithm) throws(SecurityTokenError) -> PrivateKey {
        try generate(algorithm) { Self.id(of: JSONWebKey.thumbprint(of: $0)) }
    }

    /// The key of a row. It is looked for when it signs.
    func key(of row: SigningKey) -> PrivateKey { key(row.publicKey.publicKey, id: Self.id(of: row.kid)) }

    /// A call that has not ended by then is not waited for: longer than what it takes to know that a token does not answer.
    static let longest: Duration = .milliseconds(2500)

    /// How long whoever asked for an access token waits for its signature: the answer is a 503 within two seconds of the
    /// request, statements and all.
    static let callersPatience: Duration = .milliseconds(1500)

    /// Why the key of a row cannot sign, as far as the last calls told; nil: nothing is known.
    func failure(of kid: String) -> SecurityTokenError? { failure(of: Self.id(of: kid)) }

    /// Destroys the private half and its public twin. Blocks, as above.
    func destroy(kid: String) throws(SecurityTokenError) { try destroy(id: Self.id(of: kid)) }

    /// A thumbprint is base64url; what is none names no key.
    private static func id(of kid: String) -> [UInt8] { Base64URL.decode(kid.utf8) ?? Array(kid.utf8) }
}
