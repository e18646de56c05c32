import LibCrypto

/// One file of `migrations/`, carried inside the binary.
package struct Migration: Sendable {
    /// `0001_create_users`, without `.sql`.
    package let name: String
    package let text: String
    let checksum: [UInt8]

    package init(name: String, bytes: [UInt8]) {
        self.name = name
        text = String(decoding: bytes, as: UTF8.self)
        checksum = SHA256.digest(bytes)
    }
}

/// Where a database stands beside this binary.
package enum MigrationStatus: Sendable, Equatable {
    case current
    case behind(missing: [String])
    /// A newer version has migrated it.
    case ahead(unknown: [String])
    /// A migration was edited after it was applied.
    case edited(String)
}

package enum MigrationError: Error, Sendable, Equatable {
    case ahead(unknown: [String])
    case edited(String)
    case failed(String, PostgresError)
    /// Another process has held the lock for too long.
    case lockHeld
}

/// Brings a database to this binary's version: each migration in a transaction of its own, once, however many nodes
/// start it.
package struct Migrator: Sendable {
    private let database: Database
    private let migrations: [Migration]

    /// `migrations` in the order of their names.
    package init(_ database: Database, _ migrations: [Migration]) {
        self.database = database
        self.migrations = migrations
    }

    package func status() async throws(PostgresError) -> MigrationStatus {
        try await database.lease { lease throws(PostgresError) in try await status(lease) }
    }

    private func status(_ lease: Lease) async throws(PostgresError) -> MigrationStatus {
        let exists = try await lease.query("SELECT to_regclass('migrations') IS NOT NULL AS exists").one()
        guard try exists.decode("exists", as: Bool.self) else { return .behind(missing: migrations.map(\.name)) }
        var applied: [String: [UInt8]] = [:]
        for row in try await lease.query("SELECT name, checksum FROM migrations").rows {
            applied[try row.decode("name")] = try row.decode("checksum", as: Bytes.self).bytes
        }
        let known = Set(migrations.map(\.name))
        let unknown = applied.keys.filter { !known.contains($0) }.sorted()
        if !unknown.isEmpty { return .ahead(unknown: unknown) }
        for migration in migrations {
            if let checksum = applied[migration.name], checksum != migration.checksum { return .edited(migration.name) }
        }
        let missing = migrations.map(\.name).filter { applied[$0] == nil }
        return missing.isEmpty ? .current : .behind(missing: missing)
    }

    /// Returns the names of those it applied. A lock that is tried in a loop and never waited for: a blocking wait
    /// would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for every snapshot.
    package func migrate(timeout seconds: Int64 = 600) async throws -> [String] {
        let nanoseconds = seconds * 1_000_000_000
        let deadline = monotonicNow() + nanoseconds
        typealias Outcome = Result<[String], any Error>
        // Beyond the deadline of the lock: the last attempt must not be cut short.
        let timeout = nanoseconds + database.configuration.statementTimeout
        let outcome = try await database.lease(timeout: timeout) { lease throws(PostgresError) -> Outcome in
            while try await !tryLock(lease) {
                do { try await Task.sleep(for: .milliseconds(100)) } catch { return .failure(error) }
                guard monotonicNow() < deadline else { return .failure(MigrationError.lockHeld) }
            }
            let result: Outcome
            do { result = .success(try await apply(lease)) } catch { result = .failure(error) }
            await lease.cleanUp("SELECT pg_advisory_unlock(hashtextextended('latchkey.migrate', 0))")
            return result
        }
        return try outcome.get()
    }

    private func tryLock(_ lease: Lease) async throws(PostgresError) -> Bool {
        try await lease.query("SELECT pg_try_advisory_lock(hashtextextended('latchkey.migrate', 0)) AS locked")
            .one().decode("locked")
    }

    private func apply(_ lease: Lease) async throws -> [String] {
        let status = try await status(lease)
        switch status {
        case .current: return []
        case .ahead(let unknown): throw MigrationError.ahead(unknown: unknown)
        case .edited(let name): throw MigrationError.edited(name)
        case .behind(let missing):
            try await lease.query(
                """
                CREATE TABLE IF NOT EXISTS migrations (
                    name text PRIMARY KEY,
                    checksum bytea NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
                )
                """)
            for migration in migrations where missing.contains(migration.name) {
                do {
                    _ = try await lease.batch(["BEGIN"], commits: .no)
                    try await lease.script(migration.text)
                    _ = try await lease.batch(
                        [
                            "INSERT INTO migrations (name, checksum) VALUES (\(migration.name), \(Bytes(migration.checksum)))",
                            "COMMIT",
                        ], commits: .yes)
                } catch {
                    await lease.cleanUp("ROLLBACK")
                    throw MigrationError.failed(migration.name, error)
                }
            }
            return missing
        }
    }
}
