package import Logging
package import Postgres
import ServiceLifecycle

/// Frees row locks that a frozen node holds (rule "commit groups"). A group leaves in one send, and a transaction that
/// idles for 2 s is ended by the server; what is left is a backend stuck in the middle, say in writing to a process that
/// no longer reads. Who has waited 1 s for such a lock does not wait on: every node looks twice a second and ends a
/// blocking backend whose node has not ticked for 2 s.
package struct FrozenNodes: Service {
    private let database: Database
    private let logger: Logger

    package init(_ database: Database, logger: Logger) {
        self.database = database
        self.logger = logger
    }

    /// Returns at graceful shutdown. What fails is tried again at the next look: the tick tells of an absent database.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                if let count = try? await endBlocking(), count > 0 {
                    logger.warning("a frozen node's backend held locks and was ended", metadata: ["count": "\(count)"])
                }
                try? await Task.sleep(for: .milliseconds(500))
            }
        }
    }

    /// - Returns: how many backends were ended.
    package func endBlocking() async throws(PostgresError) -> Int {
        try await database.query(RevocationSQL.endFrozenBlockers).count
    }
}
