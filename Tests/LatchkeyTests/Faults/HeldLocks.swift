import LatchkeyTesting
import Postgres

extension TestInstallation {
    /// Runs `body` while a transaction holds what `lock` locks, for `seconds` and no longer.
    ///
    /// - Parameter isFree: finds a row for as long as nobody holds it.
    /// - Returns: behind the end of that transaction.
    func whileLocked<R>(
        _ lock: Query, for seconds: Int64, isFree: Query, _ body: () async throws -> R
    ) async throws -> R {
        let database = database
        let holding = Task {
            try await database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.query(lock)
                try await transaction.query("SELECT pg_sleep(\(seconds)::float8)::text")
            }
        }
        let isHeld = try await becomesTrue { try await database.query(isFree).count == 0 }
        let result: Result<R, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        try await holding.value
        guard isHeld else { throw NotHeld() }
        return try result.get()
    }

    private struct NotHeld: Error {}
}
