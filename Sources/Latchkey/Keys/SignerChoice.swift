package import LibCrypto
package import Postgres

extension KeySchedule {
    /// The key that signs what is issued at `instant`, of those whose time it is: one of the first of `algorithms` that has
    /// one, else of whichever has. Pure.
    ///
    /// An algorithm that has just come into use has no key yet that may sign: its keys stand in the JWKS for the publish
    /// lead first, as any other. Until then the next one signs. A token is never refused for it, and never signed by a key
    /// that a verifier does not know.
    package static func signer(
        _ keys: [SigningKey], at instant: Instant, preferring algorithms: [SignatureAlgorithm]
    ) -> SigningKey? {
        let active = keys.filter { $0.state(at: instant) == .active }
        // The rest in one order: nodes with different settings choose alike.
        for algorithm in algorithms + SignatureAlgorithm.allCases {
            if let key = active.first(where: { $0.publicKey.publicKey.algorithm == algorithm }) { return key }
        }
        return nil
    }
}
