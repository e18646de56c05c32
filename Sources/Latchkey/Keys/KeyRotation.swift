package import Logging
import Postgres
import ServiceLifecycle

/// The worker that keeps the schedule. Every node runs it and looks about once a second at what it holds in memory; what
/// is due is carried out under the ring's lock, so that one of them acts. Nothing waits for it: a node serves on where it
/// fails, and the next look tries again.
package struct KeyRotation: Service {
    private let ring: KeyRing
    private let keys: SigningKeys
    private let logger: Logger

    package init(_ ring: KeyRing, keys: SigningKeys, logger: Logger) {
        self.ring = ring
        self.keys = keys
        self.logger = logger
    }

    /// What no ring in memory tells (a client that asks for another algorithm) is looked for once in so many looks.
    private static let looksBetweenRounds = 60

    /// Returns at graceful shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            // A node that has just started cannot tell a step of the clock from a pause: those that tick have told by
            // then.
            try? await Task.sleep(for: .seconds(2))
            var looks = 0
            var failures = 0
            while !Task.isCancelled {
                // So that nodes do not all generate a key for the same gap.
                try? await Task.sleep(for: .milliseconds(.random(in: 500...1500)) * (1 << min(failures, 3)))
                looks += 1
                guard ring.isDue || looks % Self.looksBetweenRounds == 0 else {
                    failures = 0
                    continue
                }
                failures = await carryOut() ? 0 : failures + 1
            }
        }
    }

    static func tell(_ steps: [KeySchedule.Step], _ logger: Logger) {
        for step in steps {
            if case .activate(_, _, .unripe) = step {
                logger.warning(
                    "a signing key signs before every verifier knows it: nobody signed", metadata: ["step": "\(step)"])
            } else {
                logger.info("a signing key moved on", metadata: ["step": "\(step)"])
            }
        }
    }

    /// Whether it could be done, by this node or another.
    private func carryOut() async -> Bool {
        do {
            let steps = try await keys.carryOutDue(origin: Origin(actor: "node"))
            Self.tell(steps, logger)
            return true
        } catch {
            if Task.isCancelled { return true }
            // Of what does not say that its text is safe to print only the kind is.
            let text = (error as? any LoggableError)?.loggable ?? "\(type(of: error))"
            logger.error("the key schedule will be tried again", metadata: ["error": "\(text)"])
            return false
        }
    }
}
