import JOSE
package import LibCrypto
package import Postgres

extension KeySchedule {
    /// One thing that is due. Steps of one answer do not touch the same key, except that what is published anew takes the
    /// place of a standby that another step lets sign.
    package enum Step: Sendable, Equatable {
        /// A new key of the algorithm enters the JWKS, unstamped.
        case publish(SignatureAlgorithm)
        /// The key is read committed: its lead begins now.
        case stamp(String)
        /// The first key of an algorithm that came into use has ripened; or nobody signs, and none of it has.
        case activate(String, at: Instant, Standing = .ripe)
        case rotate(from: String, to: String, at: Instant)
        /// Its algorithm is in nobody's use any more, and those in use sign.
        case retire(String, at: Instant)
        /// The retirement is read committed: no token of it is signed from now on, and the last one dies at `leavesAt`.
        /// (Counted from the retirement itself, a COMMIT that a standby held back would remove the key under its tokens.)
        case part(String, leavesAt: Instant)
        /// It leaves the JWKS.
        case remove(String, at: Instant)
        /// The private half is destroyed.
        case wipe(String)

        /// Whether a standby begins to sign, so that another one must enter the JWKS with it.
        var takesStandby: Bool {
            switch self {
            case .activate, .rotate: true
            case .publish, .stamp, .retire, .part, .remove, .wipe: false
            }
        }
    }

    /// What is due now; nothing until then.
    ///
    /// - Parameter algorithms: those in use, by a node's setting or a client's.
    package static func due(
        _ keys: [SigningKey], algorithms: Set<SignatureAlgorithm>, policy: KeyPolicy, clock: ClockReading
    ) -> [Step] {
        var steps: [Step] = []
        for algorithm in SignatureAlgorithm.allCases where algorithms.contains(algorithm) {
            steps += succession(keys, algorithm, policy, clock)
        }
        let others = SignatureAlgorithm.allCases.filter { !algorithms.contains($0) }
        // One that goes out of use signs on until every one in use does: it may be signing in its place.
        if !algorithms.isEmpty, algorithms.allSatisfy({ signer(keys, at: clock.settled, algorithm: $0) != nil }) {
            for algorithm in others {
                if let last = lastSigner(keys, algorithm), let since = last.activatesAt {
                    steps.append(.retire(last.kid, at: max(clock.now + activationDelay, since)))
                }
                // They never signed: no token needs them.
                steps += line(keys, algorithm, policy).map { .remove($0.kid, at: clock.now + activationDelay) }
            }
        } else {
            for algorithm in others where lastSigner(keys, algorithm) != nil {
                steps += succession(keys, algorithm, policy, clock)
            }
        }
        let leaving = Set(steps.compactMap { if case .remove(let kid, _) = $0 { kid } else { nil } })
        for key in keys where !leaving.contains(key.kid) { steps += ageing(key, policy, clock) }
        return steps
    }

    /// A signer that is young enough and two standbys behind it.
    private static func succession(
        _ keys: [SigningKey], _ algorithm: SignatureAlgorithm, _ policy: KeyPolicy, _ clock: ClockReading
    ) -> [Step] {
        var steps: [Step] = []
        let line = line(keys, algorithm, policy)
        let last = lastSigner(keys, algorithm)
        if last == nil, nobodySigns(keys, at: clock.now) {
            // The last key went on the day it leaked, with none to follow it: the first one that is read committed signs at
            // once, ripe or not. It is made alone, since a token may take a minute for each.
            guard let next = line.first else { return [.publish(algorithm)] }
            guard let ripeAt = next.ripeAt(lead: policy.publishLead) else { return [] }
            return [.activate(next.kid, at: clock.now, ripeAt <= clock.settled ? .ripe : .unripe(ripeAt: ripeAt))]
        }
        // The first one of an algorithm stands behind nobody.
        var missing = standbys + (last == nil ? 1 : 0) - line.count
        if let next = line.first, next.ripeAt(lead: policy.publishLead).map({ $0 <= clock.settled }) ?? false {
            let soon = clock.now + activationDelay
            if let last, let since = last.activatesAt {
                if since + policy.rotationInterval <= clock.settled {
                    steps.append(.rotate(from: last.kid, to: next.kid, at: max(soon, since)))
                    missing += 1
                }
            } else {
                steps.append(.activate(next.kid, at: soon))
            }
        }
        return steps + Array(repeating: .publish(algorithm), count: max(0, missing))
    }

    /// What becomes of a key by itself.
    private static func ageing(_ key: SigningKey, _ policy: KeyPolicy, _ clock: ClockReading) -> [Step] {
        if let compromisedAt = key.compromisedAt {
            let end = compromisedAt + max(policy.publishLead, KeyPolicy.regret)
            return key.hasPrivateHalf && end <= clock.settled ? [.wipe(key.kid)] : []
        }
        if let removedAt = key.removedAt {
            return key.hasPrivateHalf && removedAt + policy.publishLead <= clock.settled ? [.wipe(key.kid)] : []
        }
        if key.publishedAt == nil { return [.stamp(key.kid)] }
        guard let retiresAt = key.retiresAt, retiresAt <= clock.now else { return [] }
        guard let leavesAt = key.leavesAt else {
            // A statement in flight may still have seen the ring before it: two seconds is the longest that one takes.
            return [.part(key.kid, leavesAt: clock.now + (policy.farewell + activationDelay))]
        }
        return leavesAt <= clock.settled ? [.remove(key.kid, at: clock.now + activationDelay)] : []
    }
}
