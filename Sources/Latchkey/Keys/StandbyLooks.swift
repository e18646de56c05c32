import JOSE
import Synchronization

/// What this process last found of its standbys' private halves. Each is opened when it comes or changes, and where one is
/// about to sign, not in every round: they stay sealed until they are needed, and a token that lacks one of them begins
/// anew for each look, with every other key's session.
final class StandbyLooks: Sendable {
    private struct Look {
        let standbys: [Standby]
        let unfit: [String]
        let at: BootInstant
    }

    private struct Standby: Equatable {
        let kid: String
        let sealed: [UInt8]?
        let masterKeyVersion: Int16
        let holder: KeyHolder

        init(_ key: SigningKey) {
            (kid, sealed, masterKeyVersion, holder) = (key.kid, key.sealed, key.masterKeyVersion, key.holder)
        }
    }

    private let last = Mutex<Look?>(nil)
    /// Nanoseconds; of those in a token, which goes its own ways.
    private static let longest: Int64 = 3_600_000_000_000

    /// The standbys among `keys` that do not open, as they were found last, or by `look` now.
    ///
    /// - Parameter isAboutToSign: one of them is.
    func unfit(
        of keys: [SigningKey], isAboutToSign: Bool, _ look: () async -> [String]
    ) async -> [String] {
        let standbys = keys.filter { $0.isStandby && $0.publishedAt != nil }.map(Standby.init)
        let now = BootInstant.now()
        if !isAboutToSign, let known = last.withLock({ $0 }), known.standbys == standbys {
            // What is sealed here stays as it is, unless a master key that was missing comes.
            let isLasting = known.unfit.allSatisfy { kid in
                standbys.contains { $0.kid.isSameText(as: kid) && $0.holder == .token }
            }
            let isOld = standbys.contains { $0.holder == .token } && now - known.at > Self.longest
            if isLasting, !isOld { return known.unfit }
        }
        let unfit = await look()
        last.withLock { $0 = Look(standbys: standbys, unfit: unfit, at: now) }
        return unfit
    }
}
