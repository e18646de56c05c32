package import LibCrypto
package import Postgres

extension KeySchedule {
    /// The key that signs what is issued at `instant` for a client that wants `wanted`, and for everybody else (nil). Pure.
    ///
    /// An algorithm that has just come into use has no key yet that may sign: its keys stand in the JWKS for the publish
    /// lead first, as any other. Until then the installation's signs. A token is never refused for it, and never signed by
    /// a key that a verifier may not know.
    ///
    /// - Parameter algorithm: the installation's.
    package static func signer(
        _ keys: [SigningKey], at instant: Instant, wanted: SignatureAlgorithm?, otherwise algorithm: SignatureAlgorithm
    ) -> SigningKey? {
        if let wanted, let own = signer(keys, at: instant, algorithm: wanted) { return own }
        return signer(keys, at: instant, preferring: algorithm)
    }
}
