import JOSE
package import Postgres

/// What declaring a key compromised does, and taking that back: decided from the keys and `now` alone. `now` is read under
/// the ring's lock.
package enum KeyCompromise {
    /// Who signs in the place of a key that goes.
    package struct Takeover: Sendable, Equatable {
        package let kid: String
        /// Now, unless the key that goes was itself only about to sign.
        package let at: Instant
        package let standing: KeySchedule.Standing
    }

    /// The times that the compromised key has from now on, beside `compromisedAt`.
    package struct Change: Sendable, Equatable {
        /// nil: it never signed and never will.
        package let activatesAt: Instant?
        package let retiresAt: Instant?
        /// nil: it would never have signed again, and so nothing changes about who signs; or nobody is left to.
        package let takeover: Takeover?
        /// It signed, or was about to, and nobody follows it.
        package var leavesNobody = false
    }

    /// What becomes of a key that signs where no other one of its algorithm is there.
    package enum Vacancy: Sendable {
        /// It stays until one is made.
        case refused
        /// It goes, and nobody signs: whoever has the leaked key is worse.
        case accepted
    }

    package enum Decision: Sendable, Equatable {
        case unknownKey
        case already(since: Instant)
        /// It signs, and there is no other key.
        case noSuccessor
        case compromise(Change)
    }

    package static func decide(
        _ keys: [SigningKey], kid: String, policy: KeyPolicy, clock: ClockReading, vacancy: Vacancy = .refused
    ) -> Decision {
        guard let key = keys.first(where: { $0.kid.isSameText(as: kid) }) else { return .unknownKey }
        if let since = key.compromisedAt { return .already(since: since) }
        let hasSigned = key.activatesAt.map { $0 <= clock.now } ?? false
        switch KeySchedule.succession(keys, of: key.kid, policy: policy, clock: clock) {
        case .unneeded:
            return .compromise(Change(activatesAt: key.activatesAt, retiresAt: key.retiresAt, takeover: nil))
        case .nobody:
            guard vacancy == .accepted else { return .noSuccessor }
            return .compromise(
                Change(
                    activatesAt: hasSigned ? key.activatesAt : nil, retiresAt: hasSigned ? clock.now : nil,
                    takeover: nil, leavesNobody: true))
        case .takenOver(let next, let at, let standing):
            return .compromise(
                Change(
                    activatesAt: hasSigned ? key.activatesAt : nil, retiresAt: hasSigned ? at : nil,
                    takeover: Takeover(kid: next, at: at, standing: standing)))
        }
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
        guard key.hasPrivateHalf else { return .destroyed }
        if let removedAt = key.removedAt, removedAt <= now { return .restore(as: .removed) }
        return .restore(as: key.activatesAt == nil ? .published : .retired)
    }
}
