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
                // Each by itself: what one of them cannot do is no reason to leave the others for ever.
                await attempt("settings") { _ = try await installation.revocations.narrow() }
                await attempt("revocation entries") {
                    rounds = try await emptySlots(of: entries, left: rounds)
                }
                await attempt("sessions") { _ = try await sessions.emptySpentSlot() }
                await attempt("positions and nodes") { try await entries.forgetOld() }
                await attempt("guesses") { try await installation.guesses.keepHouse() }
                await attempt("idempotency keys") { try await installation.idempotency.keepHouse() }
                await attempt("status lists") { try await installation.indices.forgetDead() }
                installation.revocations.removeExpired()
                try? await Task.sleep(for: .seconds(60))
            }
        }
    }

    /// One round over the list's ring, and the alarm where it falls behind.
    ///
    /// - Parameter rounds: the rounds on end in which each slot could not be emptied.
    /// - Returns: the same behind this one.
    func emptySlots(of ring: RevocationRing, left rounds: [Int16: Int]) async throws -> [Int16: Int] {
        var left: [Int16: Int] = [:]
        _ = try await ring.emptySpentSlots { slot, error in
            left[slot] = (rounds[slot] ?? 0) + 1
            if let error { tell("revocation entries", error) }
        }
        tell(overdue: left.values.count { $0 >= Self.mostRounds })
        return left
    }

    private func attempt(_ step: String, _ body: () async throws -> Void) async {
        do { try await body() } catch { if !Task.isCancelled { tell(step, error) } }
    }

    private func tell(_ step: String, _ error: any Error) {
        let text = (error as? PostgresError)?.description ?? "\(type(of: error))"
        logger.notice(
            "housekeeping will be tried again in a minute", metadata: ["step": "\(step)", "error": "\(text)"])
    }

    /// Somebody may read a slot at any minute; who still does after so many, a dump or a forgotten transaction, lets the
    /// list grow by what has expired.
    private static let mostRounds = 3

    private func tell(overdue count: Int) {
        installation.revocations.overdueSlots = count
        guard count > 0 else { return }
        logger.error(
            "the revocation list's ring falls behind: slots that should be emptied are not",
            metadata: ["slots": "\(count)"])
    }
}
