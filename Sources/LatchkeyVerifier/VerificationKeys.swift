package import JOSE
package import LibCrypto

/// The public keys by `kid`: one immutable snapshot of a JWKS.
package struct VerificationKeys: Sendable {
    /// Compared one by one, byte for byte: they are few, and nothing need be allocated to ask.
    private let keys: [(keyID: String, key: PublicKey)]
    /// What the issuer's tokens begin with: one for each key.
    let headers: [JSONWebSignature.Header]

    /// - Parameter keys: with different `kid`s; of two with the same neither is used.
    package init(_ keys: [JSONWebKey]) {
        // By the bytes of `kid`: a dictionary of strings would take canonically equivalent ones for the same.
        let byKeyID = Dictionary(grouping: keys) { Array($0.keyID.utf8) }
        self.keys = byKeyID.values.compactMap { $0.count == 1 ? ($0[0].keyID, $0[0].publicKey) : nil }
        headers = keys.map {
            JSONWebSignature.Header(
                algorithm: $0.publicKey.algorithm, keyID: $0.keyID, type: AccessTokenClaims.type)
        }
    }

    package subscript(keyID: String) -> PublicKey? { keys.first { $0.keyID.isSameText(as: keyID) }?.key }

    package var count: Int { keys.count }
}
