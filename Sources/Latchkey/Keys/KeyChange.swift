import JOSE
import LibCrypto
import Postgres

/// A step of the schedule with all that it takes: its statements, each of which changes one row, and its audit row.
enum KeyChange: Sendable {
    /// Its row is `SigningKeys.insert`'s.
    case publish(NewSigningKey)
    case stamp(String, at: Instant)
    case activate(String, at: Instant)
    case rotate(from: String, to: String, at: Instant)
    case retire(String, at: Instant)
    case part(String, leavesAt: Instant)
    case remove(String, at: Instant)
    case wipe(String)

    /// - Parameter born: keys made for this; what is taken is taken out. nil where none of the algorithm is left.
    init?(_ step: KeySchedule.Step, at now: Instant, from born: inout [NewSigningKey]) {
        switch step {
        case .publish(let algorithm):
            guard let index = born.firstIndex(where: { $0.publicKey.publicKey.algorithm == algorithm }) else {
                return nil
            }
            self = .publish(born.remove(at: index))
        case .stamp(let kid): self = .stamp(kid, at: now)
        case .activate(let kid, let at, _): self = .activate(kid, at: at)
        case .rotate(let from, let to, let at): self = .rotate(from: from, to: to, at: at)
        case .retire(let kid, let at): self = .retire(kid, at: at)
        case .part(let kid, let at): self = .part(kid, leavesAt: at)
        case .remove(let kid, let at): self = .remove(kid, at: at)
        case .wipe(let kid): self = .wipe(kid)
        }
    }

    var statements: [Query] {
        switch self {
        case .publish: []
        case .stamp(let kid, let at): [SigningKeySQL.stamp(kid, at: at)]
        case .activate(let kid, let at): [SigningKeySQL.activate(kid, at: at)]
        case .rotate(let from, let to, let at):
            [SigningKeySQL.retire(from, at: at), SigningKeySQL.activate(to, at: at)]
        case .retire(let kid, let at): [SigningKeySQL.retire(kid, at: at)]
        case .part(let kid, let at): [SigningKeySQL.part(kid, leavesAt: at)]
        case .remove(let kid, let at): [SigningKeySQL.remove(kid, at: at)]
        case .wipe(let kid): [SigningKeySQL.wipe(kid)]
        }
    }

    func event(reason: String?) -> Event {
        switch self {
        case .publish(let key): .keyMoved(kid: key.kid, .published)
        case .stamp(let kid, _): .keyMoved(kid: kid, .stamped)
        case .activate(let kid, _): .keyMoved(kid: kid, .activated)
        case .rotate(let from, let to, _): .keyRotated(from: from, to: to, reason: reason)
        case .retire(let kid, _): .keyMoved(kid: kid, .retired)
        case .part(let kid, _): .keyMoved(kid: kid, .parted)
        case .remove(let kid, _): .keyMoved(kid: kid, .removed)
        case .wipe(let kid): .keyMoved(kid: kid, .wiped)
        }
    }
}
