import JOSE
package import LibCrypto
package import Postgres

/// Pure decisions over the keys, the policy and the clock: who signs, who signs next, and what is due. The same ones
/// serve the founding, the worker, whoever rotates by hand and the day a key leaks.
///
/// Each algorithm has a life of its own: one last signer (it has no successor yet) and two standbys. What is stamped
/// takes the clock as it is; what becomes due goes by the part of it that is settled, so that a step of the database's
/// clock ripens, rotates, removes and wipes nothing.
package enum KeySchedule {
    /// From the answer to the instant of change, so that every node has read the new ring by then. Seconds.
    package static let activationDelay: Int64 = 2

    /// So many keys always stand ready in the JWKS, so that a rotation can act at once, and another one right after it.
    package static let standbys = 2

    /// The key that signs with its own algorithm what is issued at `instant`.
    ///
    /// Where no key's time holds the instant (the key of that time was compromised) it is the next one: there is never
    /// nobody, as long as one has no successor.
    package static func signer(
        _ keys: [SigningKey], at instant: Instant, algorithm: SignatureAlgorithm
    ) -> SigningKey? {
        let own = keys.filter { $0.algorithm == algorithm }
        return own.first { $0.state(at: instant) == .active }
            ?? own.filter {
                $0.begins(after: instant) && own.contains { $0.activatesAt.map { $0 <= instant } ?? false }
            }
            .min { order($0.activatesAt, $1.activatesAt) }
    }

    /// The key that signs what is issued at `instant` for whoever wants `algorithm`. One that has just come into use has
    /// no ripe key yet: until it has, RS256 signs on, which every verifier must know (RFC 9068 §2.1), or the algorithm
    /// that has signed longest.
    package static func signer(
        _ keys: [SigningKey], at instant: Instant, preferring algorithm: SignatureAlgorithm
    ) -> SigningKey? {
        if let own = signer(keys, at: instant, algorithm: algorithm) { return own }
        if let common = signer(keys, at: instant, algorithm: .rs256) { return common }
        return SignatureAlgorithm.allCases
            .compactMap { signer(keys, at: instant, algorithm: $0) }
            .min { order($0.activatesAt, $1.activatesAt) }
    }

    /// No token can be signed, by whatever algorithm: only declaring the last key compromised where none can be made in its
    /// place leads there.
    static func nobodySigns(_ keys: [SigningKey], at instant: Instant) -> Bool {
        SignatureAlgorithm.allCases.allSatisfy { signer(keys, at: instant, algorithm: $0) == nil }
    }

    /// Of one algorithm: the key that signs and has no successor yet, though it may be about to begin.
    static func lastSigner(_ keys: [SigningKey], _ algorithm: SignatureAlgorithm) -> SigningKey? {
        keys.first { $0.algorithm == algorithm && $0.isLastSigner }
    }

    /// The standbys of an algorithm in the order in which they will sign: the first to ripen goes first, and of twins
    /// the one that all nodes choose alike. One that is not even stamped comes last.
    static func line(_ keys: [SigningKey], _ algorithm: SignatureAlgorithm, _ policy: KeyPolicy) -> [SigningKey] {
        func rank(_ key: SigningKey) -> (Instant, Instant, String) {
            (key.ripeAt(lead: policy.publishLead) ?? Instant(microseconds: .max), key.createdAt, key.kid)
        }
        return keys.filter { $0.isStandby && $0.algorithm == algorithm }.sorted { rank($0) < rank($1) }
    }

    private static func order(_ a: Instant?, _ b: Instant?) -> Bool {
        (a ?? Instant(microseconds: .max)) < (b ?? Instant(microseconds: .max))
    }
}
