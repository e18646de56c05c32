import JOSE
import LibCrypto
package import Postgres

/// What declaring a key compromised does, and taking that back: decided from the keys and `now` alone. `now` is read under
/// the ring's lock.
package enum KeyCompromise {
    /// Who signs in the place of a key that goes.
    package struct Takeover: Sendable, Equatable {
        package let kid: String
        /// Now, unless the key that goes was itself only about to sign.
        package let at: Instant
        /// When every verifier that obeys the JWKS's `max-age` knows it; nil: nobody can know it yet.
        package let ripeAt: Instant?

        /// Not ripe, it signs all the same, for there is nobody else: a verifier that does not fetch the JWKS at an
        /// unknown `kid` refuses its tokens for a while.
        package var isRipe: Bool { ripeAt.map { $0 <= at } ?? false }
    }

    /// The times that the compromised key has from now on, beside `compromisedAt`.
    package struct Change: Sendable, Equatable {
        /// nil: it never signed and never will.
        package let activatesAt: Instant?
        package let retiresAt: Instant?
        package let removedAt: Instant?
        /// nil: it would never have signed again, and so nothing changes about who signs.
        package let takeover: Takeover?
    }

    package enum Decision: Sendable, Equatable {
        case unknownKey
        case already(since: Instant)
        /// It signs, and there is no other key.
        case noSuccessor
        case compromise(Change)
    }

    /// - Parameter tokensLive: seconds for which a token signed now may still be alive somewhere.
    package static func decide(
        _ keys: [SigningKey], kid: String, policy: KeyPolicy, tokensLive: Int64, now: Instant
    ) -> Decision {
        guard let key = keys.first(where: { $0.kid.isSameText(as: kid) }) else { return .unknownKey }
        if let since = key.compromisedAt { return .already(since: since) }
        guard let activatesAt = key.activatesAt, key.retiresAt.map({ $0 > now }) ?? true else {
            // A standby, or a key that signs no more.
            return .compromise(
                Change(
                    activatesAt: key.activatesAt, retiresAt: key.retiresAt, removedAt: key.removedAt, takeover: nil))
        }
        guard let next = successor(keys, of: key, policy: policy) else { return .noSuccessor }
        let at = max(now, activatesAt)
        let takeover = Takeover(kid: next.kid, at: at, ripeAt: next.ripeAt(lead: policy.publishLead))
        guard activatesAt <= now else {
            return .compromise(Change(activatesAt: nil, retiresAt: nil, removedAt: nil, takeover: takeover))
        }
        return .compromise(
            Change(activatesAt: activatesAt, retiresAt: at, removedAt: at + tokensLive, takeover: takeover))
    }

    /// Where a rotation is under way, the key that was to follow anyway: its instant moves and no standby is spent. Else
    /// the standby that ripens first, of its algorithm; one that is not even stamped comes last.
    private static func successor(_ keys: [SigningKey], of key: SigningKey, policy: KeyPolicy) -> SigningKey? {
        if let retiresAt = key.retiresAt {
            return keys.first { other in
                other.activatesAt == retiresAt && other.compromisedAt == nil && !other.kid.isSameText(as: key.kid)
                    && other.retiresAt.map { $0 > retiresAt } ?? true
            }
        }
        func rank(_ key: SigningKey) -> (Instant, Instant, String) {
            (key.ripeAt(lead: policy.publishLead) ?? Instant(microseconds: .max), key.createdAt, key.kid)
        }
        return keys.filter { other in
            other.isStandby && other.publicKey.publicKey.algorithm == key.publicKey.publicKey.algorithm
                && !other.kid.isSameText(as: key.kid)
        }.min { rank($0) < rank($1) }
    }

    package enum Restoration: Sendable, Equatable {
        case unknownKey
        case notCompromised
        /// Its private half is wiped.
        case destroyed
        /// As `published` it never signed and has to stand its lead anew; else it verifies what it signed and signs no
        /// more.
        case restore(as: SigningKeyState)
    }

    package static func restoration(_ keys: [SigningKey], kid: String, now: Instant) -> Restoration {
        guard let key = keys.first(where: { $0.kid.isSameText(as: kid) }) else { return .unknownKey }
        guard key.compromisedAt != nil else { return .notCompromised }
        guard key.sealed != nil else { return .destroyed }
        guard key.activatesAt != nil else { return .restore(as: .published) }
        return .restore(as: key.removedAt.map { $0 <= now } == true ? .removed : .retired)
    }
}
