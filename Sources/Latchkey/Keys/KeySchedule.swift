import JOSE
package import Postgres

/// The settings that a key's life depends on, in seconds.
package struct KeyPolicy: Sendable {
    /// How long a key stands in the JWKS before it signs.
    package var publishLead: Int64
    /// `Cache-Control: max-age` of the JWKS.
    package var maxAge: Int64
    /// How far a verifier's clock may differ.
    package var leeway: Int64

    package init(publishLead: Int64, maxAge: Int64, leeway: Int64) {
        self.publishLead = publishLead
        self.maxAge = maxAge
        self.leeway = leeway
    }

    /// The lead must outlast a verifier's cache, the leeway, and the two seconds between a rotation and its instant:
    /// else a key would sign that a verifier does not know yet.
    package var shortestLead: Int64 { maxAge + leeway + 2 }

    /// A ring older than this might lack a key that is about to sign, and is no longer served.
    package var longestRingAge: Int64 { publishLead - maxAge - leeway }
}

/// Pure decisions over the keys, the policy and `now`.
package enum KeySchedule {
    /// From the answer to the instant of change, so that every node has read the new ring by then.
    package static let activationDelay: Int64 = 2

    package enum Rotation: Sendable, Equatable {
        /// `next` signs from `at`, when `from` retires.
        case rotate(from: String, to: String, at: Instant)
        /// It has been rotated away from already: by whoever asked at the same time.
        case alreadyRotated(to: String, at: Instant)
        /// nil: not even one that has been stamped.
        case noRipeStandby(ripeAt: Instant?)
        case unknownKey
    }

    /// - Parameter from: the key to rotate away from.
    package static func rotation(_ keys: [SigningKey], from kid: String, policy: KeyPolicy, now: Instant) -> Rotation {
        guard let last = keys.first(where: { $0.activatesAt != nil && $0.retiresAt == nil && $0.compromisedAt == nil }),
            let lastSince = last.activatesAt
        else { return .noRipeStandby(ripeAt: nil) }
        guard last.kid.isSameText(as: kid) else {
            let wasSigning = keys.contains { $0.kid.isSameText(as: kid) && $0.activatesAt != nil }
            return wasSigning ? .alreadyRotated(to: last.kid, at: lastSince) : .unknownKey
        }
        let standbys = keys.filter(\.isStandby)
            .compactMap { key in
                key.ripeAt(lead: policy.publishLead).map { (kid: key.kid, ripeAt: $0, born: key.createdAt) }
            }
            .sorted { ($0.ripeAt, $0.born, $0.kid) < ($1.ripeAt, $1.born, $1.kid) }
        guard let next = standbys.first else { return .noRipeStandby(ripeAt: nil) }
        guard next.ripeAt <= now else { return .noRipeStandby(ripeAt: next.ripeAt) }
        // A key that is itself about to begin signs first: its successor's instant is never the earlier one.
        return .rotate(from: kid, to: next.kid, at: max(now + activationDelay, lastSince))
    }

    /// The key that signs what is issued at `instant`.
    package static func signer(_ keys: [SigningKey], at instant: Instant) -> SigningKey? {
        keys.first { $0.state(at: instant) == .active }
    }
}
