package import JOSE
package import LibCrypto

/// The public keys by `kid`: one immutable snapshot of a JWKS.
package struct VerificationKeys: Sendable {
    /// By the bytes of `kid`: a dictionary of strings would take canonically equivalent ones for the same.
    private let keys: [[UInt8]: PublicKey]
    /// What the issuer's tokens begin with: one for each key.
    let headers: [JSONWebSignature.Header]

    /// - Parameter keys: with different `kid`s; of two with the same neither is used.
    package init(_ keys: [JSONWebKey]) {
        let byKeyID = Dictionary(grouping: keys) { Array($0.keyID.utf8) }
        self.keys = byKeyID.compactMapValues { $0.count == 1 ? $0[0].publicKey : nil }
        headers = keys.map {
            JSONWebSignature.Header(
                algorithm: $0.publicKey.algorithm, keyID: $0.keyID, type: AccessTokenClaims.type)
        }
    }

    package subscript(keyID: String) -> PublicKey? { keys[Array(keyID.utf8)] }

    package var count: Int { keys.count }
}
