package import Logging
import PKCS11
import ServiceLifecycle

/// Proves every two seconds, by a signature, that the token still signs: a node whose token does not answer leaves
/// `/readyz` though nobody asks it for a token, and comes back by itself.
package struct TokenWatch: Service {
    private let ring: KeyRing
    private let logger: Logger

    package init(_ ring: KeyRing, logger: Logger) {
        self.ring = ring
        self.logger = logger
    }

    /// Returns at graceful shutdown; without a token, too, there is nothing to do until then.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var last: String?
            while !Task.isCancelled {
                let failure = await ring.proveToken()?.description
                if failure != last {
                    if let failure {
                        logger.error("the token that holds the signing keys fails", metadata: ["error": "\(failure)"])
                    } else {
                        logger.notice("the token that holds the signing keys signs again")
                    }
                    last = failure
                }
                try? await Task.sleep(for: .seconds(2))
            }
        }
    }
}
