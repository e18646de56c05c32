import Logging
import Postgres
import ServiceLifecycle

/// Once a minute: empties spent slots of both rings and forgets what has expired, spent guess slots among it. Every node does it; nothing depends on
/// it having run.
struct Housekeeping: Service {
    private let installation: Installation
    private let logger: Logger

    init(_ installation: Installation, logger: Logger) {
        self.installation = installation
        self.logger = logger
    }

    /// Returns at graceful shutdown.
    func run() async throws {
        let entries = RevocationRing(installation.database, clock: installation.clock)
        let sessions = SessionRing(installation.database, policy: installation.settings.session)
        await cancelWhenGracefulShutdown {
            // A node that has just started cannot tell a step of the clock from a pause: those that tick have told by then.
            try? await Task.sleep(for: .seconds(3))
            // Rounds in which each slot could not be emptied.
            var rounds: [Int16: Int] = [:]
            while !Task.isCancelled {
                do {
                    try await installation.revocations.narrow()
                    var left: [Int16: Int] = [:]
                    _ = try await entries.emptySpentSlots { left[$0] = (rounds[$0] ?? 0) + 1 }
                    rounds = left
                    tell(overdue: rounds.values.count { $0 >= Self.mostRounds })
                    _ = try await sessions.emptySpentSlot()
                    try await entries.forgetOld()
                    try await installation.guesses.keepHouse()
                    try await installation.idempotency.keepHouse()
                    try await installation.indices.forgetDead()
                } catch {
                    if Task.isCancelled { return }
                    let text = (error as? PostgresError)?.description ?? "\(type(of: error))"
                    logger.notice("housekeeping will be tried again in a minute", metadata: ["error": "\(text)"])
                }
                installation.revocations.removeExpired()
                try? await Task.sleep(for: .seconds(60))
            }
        }
    }

    /// Somebody may read a slot at any minute; who still does after so many, a dump or a forgotten transaction, lets the
    /// list grow by what has expired.
    private static let mostRounds = 3

    private func tell(overdue count: Int) {
        installation.revocations.overdueSlots = count
        guard count > 0 else { return }
        logger.error(
            "the revocation list's ring falls behind: somebody holds slots that should be emptied",
            metadata: ["slots": "\(count)"])
    }
}
