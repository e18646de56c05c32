package import Logging
import Postgres
import ServiceLifecycle

/// Every second, on every node: takes in master keys that have come into the folder, lets a new version mint once every
/// node holds it, and seals the signing keys again under it.
package struct MasterKeyWatch: Service {
    private let masterKeys: MasterKeyRing
    private let resealing: Resealing
    private let ring: KeyRing
    private let logger: Logger

    package init(_ masterKeys: MasterKeyRing, _ resealing: Resealing, ring: KeyRing, logger: Logger) {
        self.masterKeys = masterKeys
        self.resealing = resealing
        self.ring = ring
        self.logger = logger
    }

    /// Returns at graceful shutdown. A failure is told when it begins; the next look is a second later.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var lastFailure = ""
            while !Task.isCancelled {
                do {
                    try await look()
                    lastFailure = ""
                } catch {
                    if Task.isCancelled { return }
                    let text = "\(error)"
                    if text != lastFailure {
                        logger.error("the master keys could not be looked after", metadata: ["error": "\(text)"])
                    }
                    lastFailure = text
                }
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func look() async throws {
        try await masterKeys.lookAgain()
        let origin = Origin(actor: "node")
        if let version = try await masterKeys.promote(origin: origin) {
            logger.notice("every node holds the new master key: it is in use", metadata: ["version": "\(version)"])
        }
        guard masterKeys.canMint else { return }
        // One a second: by then this node has read what it or another has sealed again.
        let keys = ring.keys
        guard resealing.isNeeded(keys) else { return }
        switch try await resealing.one(of: keys, origin: origin) {
        case .resealed(let kid, let from, let to):
            logger.notice(
                "a signing key was sealed again", metadata: ["kid": "\(kid)", "from": "\(from)", "to": "\(to)"])
        case .changedMeanwhile: return
        case .done(let unopened):
            if let (kid, fault) = unopened.min(by: { $0.key < $1.key }) {
                throw SigningKeyError.doesNotOpen(kid: kid, fault)
            }
        }
    }
}
