import Configuration
import Foundation
package import Latchkey
package import Logging
package import Postgres

/// An installation of a test's own: a migrated database, master keys, and as many nodes as wanted, serving on loopback.
/// Ends with the call, and checks the invariants that every journey must leave intact.
package struct TestInstallation: Sendable {
    package let nodes: [TestNode]
    /// For looking at rows and for moving their times: the tests' only way to travel in time.
    package let database: Database
    package let connectionString: String
    package let settings: Settings

    package var node: TestNode { nodes[0] }

    /// - Parameters:
    ///   - count: how many nodes serve.
    ///   - patience: nanoseconds that a request waits for the database: more than anybody's, for a busy machine is not what
    ///     most tests are about.
    ///   - change: what the test wants other than the defaults.
    package static func run<R: Sendable>(
        nodes count: Int = 1, patience: Int64 = 15_000_000_000,
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        settings change: @Sendable (inout Settings) -> Void = { _ in },
        _ body: @Sendable (TestInstallation) async throws -> R
    ) async throws -> R {
        await Turnstile.shared.enter()
        let result: Result<R, any Error>
        do {
            result = .success(try await serve(count, patience, logger: logger, settings: change, body))
        } catch {
            result = .failure(error)
        }
        await Turnstile.shared.leave()
        return try result.get()
    }

    private static func serve<R: Sendable>(
        _ count: Int, _ patience: Int64, logger: Logger, settings change: @Sendable (inout Settings) -> Void,
        _ body: @Sendable (TestInstallation) async throws -> R
    ) async throws -> R {
        let cluster = try await TestCluster.shared()
        let connectionString = try await cluster.makeDatabase(migrations: Migrations.all)
        let folder = FileManager.default.temporaryDirectory.appending(path: "latchkey-keys-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var settings = try Self.defaults(connectionString, keys: folder)
        change(&settings)
        let keys = MasterKeyFolder(folder)
        _ = try keys.initialise()
        let masterKeys = try keys.load()

        var nodes: [TestNode] = []
        let database = Database.patient(connectionString)
        let result: Result<R, any Error>
        do {
            for _ in 0..<count {
                nodes.append(
                    try await TestNode.start(
                        Installation(settings, masterKeys: masterKeys, logger: logger, patience: patience)))
            }
            let it = TestInstallation(
                nodes: nodes, database: database, connectionString: connectionString, settings: settings)
            let value = try await body(it)
            try await it.checkInvariants()
            result = .success(value)
        } catch {
            result = .failure(error)
        }
        for node in nodes { await node.stop() }
        database.shutDown()
        try await cluster.dropDatabase(connectionString)
        return try result.get()
    }

    /// A further node of the installation, which reaches the database through `relay`; the caller stops it.
    package func node(behind relay: Relay) async throws -> TestNode {
        var settings = settings
        settings.databaseURL = relay.connectionString
        return try await TestNode.start(
            Installation(
                settings, masterKeys: node.installation.masterKeys,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    }

    /// Fast hashes and many guesses from one address; everything else as `latchkey dev` has it, the limit of guesses for an
    /// account too.
    package static func defaults(_ connectionString: String, keys: String) throws -> Settings {
        let values = [
            "LATCHKEY_DATABASE_URL": connectionString, "LATCHKEY_PORT": "0", "LATCHKEY_ISSUER": "http://127.0.0.1:1",
            "LATCHKEY_RESOURCES": "https://api.example", "LATCHKEY_KEYS_DIR": keys, "LATCHKEY_ARGON2_MEMORY_KIB": "64",
            "LATCHKEY_ARGON2_ITERATIONS": "1", "LATCHKEY_HASHING_MEMORY_KIB": "4096", "LATCHKEY_LOG_LEVEL": "trace",
            // Every caller of a test has the one address of loopback.
            "LATCHKEY_LOGIN_FAILURES_PER_ADDRESS": "10000",
        ]
        return try SettingsReader.read(
            ConfigReader(provider: EnvironmentVariablesProvider(environmentVariables: values)), profile: .dev)
    }

    /// What holds after every journey, whatever happened in it.
    package struct BrokenInvariant: Error, CustomStringConvertible {
        package let description: String
    }

    package func checkInvariants() async throws { try await Self.checkInvariants(of: database) }

    /// Standbys are made by the nodes' next tick.
    private static let standbys: Query = """
        SELECT sum(last) > 0 AND bool_and(last <= 1 AND (last = 0 OR ready >= 2)) AS holds
        FROM (
            SELECT count(*) FILTER (WHERE activates_at IS NOT NULL AND retires_at IS NULL) AS last,
                   count(*) FILTER (WHERE activates_at IS NULL) AS ready
            FROM signing_keys
            WHERE compromised_at IS NULL AND removed_at IS NULL
            GROUP BY algorithm
        ) AS algorithms
        """

    package static func checkInvariants(of database: Database) async throws {
        let line = "one key of each algorithm that signs has no successor, and two standbys stand ready behind it"
        guard try await becomesTrue({ try await database.query(standbys).one().decode("holds") == true }) else {
            throw BrokenInvariant(description: "broken: \(line)")
        }
        let checks: [(String, Query)] = [
            (
                "every ended session stands on the list",
                """
                SELECT NOT EXISTS (
                    SELECT FROM sessions s WHERE s.ended_at IS NOT NULL
                    AND NOT EXISTS (SELECT FROM revocation_entries e WHERE e.kind = 2 AND e.id = s.sid)) AS holds
                """
            ),
            (
                // Answered or not: both clocks are read under the row's lock.
                "no token of a session was minted after its end",
                """
                SELECT NOT EXISTS (
                    SELECT FROM sessions
                    WHERE ended_at IS NOT NULL AND GREATEST(conf_at, issued_at) > ended_at) AS holds
                """
            ),
            (
                "no session stands on the list twice",
                """
                SELECT NOT EXISTS (
                    SELECT FROM revocation_entries WHERE kind = 2 GROUP BY id HAVING count(*) > 1) AS holds
                """
            ),
            (
                "every session's end stands in the audit log once",
                """
                SELECT NOT EXISTS (
                    SELECT FROM sessions s WHERE s.ended_at IS NOT NULL AND 1 <> (
                        SELECT count(*) FROM audit_events a
                        WHERE a.action = 'session.revoked' AND a.target = 'session:' || s.sid::text
                          AND a.detail::jsonb ->> 'cause' = s.end_cause)) AS holds
                """
            ),
            (
                "only ended sessions stand on the list, and epochs of clients that the audit log names",
                """
                SELECT NOT EXISTS (
                    SELECT FROM revocation_entries e WHERE e.kind = 2 AND NOT EXISTS (
                        SELECT FROM sessions s WHERE s.sid = e.id AND s.ended_at IS NOT NULL)
                    AND NOT EXISTS (
                        SELECT FROM audit_events a
                        WHERE a.action IN (
                                  'client.disabled', 'client.changed', 'client.secret-rotated', 'sessions.revoked')
                          AND position(e.id::text IN a.detail) > 0)) AS holds
                """
            ),
            (
                "no client's epoch stands on the list",
                """
                SELECT NOT EXISTS (SELECT FROM revocation_entries e JOIN clients c ON c.epoch = e.id) AS holds
                """
            ),
            (
                "positions are dense and end at the head",
                """
                SELECT count(DISTINCT e.seq) = head.seq AND count(e.seq) = head.seq
                   AND COALESCE(max(e.seq), 0) = head.seq AS holds
                FROM feed_head AS head
                     LEFT JOIN (SELECT seq FROM revocation_entries UNION ALL SELECT seq FROM revoked_keys) AS e ON true
                GROUP BY head.seq
                """
            ),
            (
                "the head's digest is the last batch's",
                """
                SELECT seq = 0 OR digest = (SELECT b.digest FROM feed_batches b WHERE b.seq = feed_head.seq) AS holds
                FROM feed_head
                """
            ),
            (
                "a key is compromised while its last entry on the list says so, and each entry stands in the audit log",
                """
                SELECT NOT EXISTS (
                    SELECT FROM signing_keys k
                    WHERE (k.compromised_at IS NOT NULL) <> COALESCE((
                              SELECT r.kind = 3 FROM revoked_keys r WHERE r.kid = k.kid ORDER BY r.seq DESC LIMIT 1), false))
                   AND NOT EXISTS (
                    SELECT FROM revoked_keys r
                    WHERE (SELECT count(*) FROM revoked_keys s WHERE s.kid = r.kid AND s.kind = r.kind) <> (
                        SELECT count(*) FROM audit_events a
                        WHERE a.target = 'key:' || r.kid
                          AND a.action = CASE r.kind WHEN 3 THEN 'key.compromised' ELSE 'key.restored' END)) AS holds
                """
            ),
            (
                "no compromised key signs or is to sign",
                """
                SELECT NOT EXISTS (
                    SELECT FROM signing_keys
                    WHERE compromised_at IS NOT NULL AND activates_at IS NOT NULL
                      AND (retires_at IS NULL OR retires_at > compromised_at)) AS holds
                """
            ),
            (
                "each key begins when the one before it ends, unless that was compromised with none to follow",
                """
                SELECT NOT EXISTS (
                    SELECT FROM signing_keys r WHERE r.retires_at IS NOT NULL AND NOT EXISTS (
                        SELECT FROM signing_keys a WHERE a.activates_at = r.retires_at)
                    AND NOT (r.compromised_at = r.retires_at AND EXISTS (
                        SELECT FROM audit_events e
                        WHERE e.action = 'key.compromised' AND e.target = 'key:' || r.kid
                          AND e.detail::jsonb ->> 'next' IS NULL))) AS holds
                """
            ),
        ]
        for (name, query) in checks {
            guard try await database.query(query).one().decode("holds") == true else {
                throw BrokenInvariant(description: "broken: \(name)")
            }
        }
    }
}
