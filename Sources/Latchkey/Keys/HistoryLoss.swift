import JOSE
package import LibCrypto
import Postgres

/// Which signing keys go when history was lost, and who signs in their place. Pure.
///
/// Tokens of the lost history are signed by keys that this database takes for good: the sessions they are of may have ended
/// meanwhile, or never have been. So every key that may have signed one goes.
package struct HistoryLoss: Sendable {
    package struct Leaving: Sendable, Equatable {
        package let kid: String
        package let change: KeyCompromise.Change
    }

    /// In the order in which they are carried out.
    package let leaving: [Leaving]
    /// Algorithms of which no key is left to sign: one must be made first.
    package let missing: Set<SignatureAlgorithm>
    /// Keys that this database does not know at all: born in the lost history.
    package let unknown: [String]

    /// - Parameters:
    ///   - remembered: the keys as this node knew them in the lost history; empty: it knows nothing of it, and then a standby
    ///     may have signed there as well.
    ///   - unfit: standbys that do not open.
    ///   - fresh: keys that were made for this.
    package static func decide(
        _ keys: [SigningKey], remembered: [SigningKey], unfit: [String] = [], fresh: [SigningKey] = [],
        policy: KeyPolicy, clock: ClockReading
    ) -> HistoryLoss {
        let mayHaveSigned = keys.filter { key in
            guard key.compromisedAt == nil, key.removedAt.map({ $0 > clock.now }) ?? true else { return false }
            if let activatesAt = key.activatesAt, activatesAt <= clock.now { return true }
            if remembered.isEmpty { return true }
            return remembered.contains { old in
                old.kid.isSameText(as: key.kid)
                    && (old.compromisedAt != nil || old.activatesAt.map { $0 <= clock.now } ?? false)
            }
        }
        func holds(_ list: [SigningKey], _ kid: String) -> Bool { list.contains { $0.kid.isSameText(as: kid) } }
        let spared = keys.filter { key in
            !holds(mayHaveSigned, key.kid) && !unfit.contains { $0.isSameText(as: key.kid) }
        }
        var (leaving, missing): ([Leaving], Set<SignatureAlgorithm>) = ([], [])
        for key in mayHaveSigned {
            switch KeyCompromise.decide(spared + fresh + [key], kid: key.kid, policy: policy, clock: clock) {
            case .compromise(let change): leaving.append(Leaving(kid: key.kid, change: change))
            case .noSuccessor: missing.insert(key.algorithm)
            case .already, .unknownKey: break
            }
        }
        let unknown = remembered.filter { $0.isInJWKS(at: clock.now) && !holds(keys, $0.kid) }.map(\.kid)
        return HistoryLoss(leaving: leaving, missing: missing, unknown: unknown)
    }
}
