/// What signs for a `PrivateKey`: OpenSSL with the key in memory, or a token that never lets the key out. Its algorithm
/// stands beside it, in the public half. Any number of threads may sign at once.
package protocol PrivateHalf: Sendable {
    /// The signature of `message` as JWS has it: ES256 is r || s.
    ///
    /// - Throws: `CryptoError.unreachable` where the token that holds the key does not answer, `.failed`.
    func sign(_ message: [UInt8]) throws(CryptoError) -> [UInt8]

    /// The key as unencrypted PKCS #8 in DER, to be sealed at once.
    ///
    /// - Throws: `CryptoError.heldElsewhere` where the key does not leave what holds it.
    func pkcs8() throws(CryptoError) -> SecretBytes
}
