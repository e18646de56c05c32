import JOSE
import LibCrypto
package import Postgres

extension KeySchedule {
    package enum Rotation: Sendable, Equatable {
        /// `next` signs from `at`, when `from` retires.
        case rotate(from: String, to: String, at: Instant)
        /// It has been rotated away from already: by whoever asked at the same time.
        case alreadyRotated(to: String, at: Instant)
        /// nil: not even one that has been stamped.
        case noRipeStandby(ripeAt: Instant?)
        case unknownKey
    }

    /// - Parameter from: the key to rotate away from; its successor is of its algorithm.
    package static func rotation(
        _ keys: [SigningKey], from kid: String, policy: KeyPolicy, clock: ClockReading
    ) -> Rotation {
        guard let key = keys.first(where: { $0.kid.isSameText(as: kid) }), key.activatesAt != nil else {
            return .unknownKey
        }
        guard let last = lastSigner(keys, key.algorithm), let lastSince = last.activatesAt else {
            return .noRipeStandby(ripeAt: nil)
        }
        guard last.kid.isSameText(as: kid) else { return .alreadyRotated(to: last.kid, at: lastSince) }
        guard let next = line(keys, key.algorithm, policy).first, let ripeAt = next.ripeAt(lead: policy.publishLead)
        else { return .noRipeStandby(ripeAt: nil) }
        guard ripeAt <= clock.settled else {
            // While the clock settles nothing ripens, whatever the key's own instant.
            return .noRipeStandby(ripeAt: max(ripeAt, clock.isSettled ? ripeAt : clock.now + policy.settling))
        }
        // A key that is itself about to begin signs first: its successor's instant is never the earlier one.
        return .rotate(from: kid, to: next.kid, at: max(clock.now + activationDelay, lastSince))
    }

    /// Who signs in the place of a key that goes at once.
    package enum Succession: Sendable, Equatable {
        /// The key neither signs nor is about to: nobody takes its place.
        case unneeded
        /// `kid` signs from `at`, when the key that goes stops: now, or when that one would have begun.
        case takenOver(by: String, at: Instant, Standing)
        /// There is no other key of the algorithm: one must be made first.
        case nobody
    }

    package enum Standing: Sendable, Equatable {
        /// Every verifier that obeys `max-age` knows it.
        case ripe
        /// It signs all the same, since nobody else can: a verifier that does not fetch the JWKS at an unknown `kid`
        /// refuses its tokens for a while. nil: it was not even stamped.
        case unripe(ripeAt: Instant?)
    }

    /// For the day a key leaks: it stops at once, and needs no ripe standby for that. Where a rotation is under way, the
    /// key that was to follow anyway begins earlier, and no standby is spent.
    ///
    /// Whoever carries it out sets, in one transaction under the ring's lock and with a new version of it, the leaving
    /// key's `retires_at` and the other's `activates_at` to `at`.
    package static func succession(
        _ keys: [SigningKey], of kid: String, policy: KeyPolicy, clock: ClockReading
    ) -> Succession {
        guard let key = keys.first(where: { $0.kid.isSameText(as: kid) }), key.compromisedAt == nil,
            let since = key.activatesAt, key.retiresAt.map({ $0 > clock.now }) ?? true
        else { return .unneeded }
        let next: SigningKey?
        if let retiresAt = key.retiresAt {
            // Two rotations within two seconds make several that begin at one instant: the one that outlives it follows.
            next = keys.first { other in
                other.algorithm == key.algorithm && !other.kid.isSameText(as: kid) && other.compromisedAt == nil
                    && other.activatesAt == retiresAt && other.retiresAt.map { $0 > retiresAt } ?? true
            }
        } else {
            next = line(keys, key.algorithm, policy).first
        }
        // Who retires without a follower does so because its algorithm is in nobody's use.
        guard let next else { return key.retiresAt == nil ? .nobody : .unneeded }
        let ripeAt = next.ripeAt(lead: policy.publishLead)
        // Of a follower too: it may be one that had to take over unripe a moment ago.
        let isRipe = ripeAt.map { $0 <= clock.settled } ?? false
        return .takenOver(by: next.kid, at: max(clock.now, since), isRipe ? .ripe : .unripe(ripeAt: ripeAt))
    }
}
