import ArgumentParser
import JOSE
import Latchkey
import LibCrypto
import Postgres

/// Sessions of the installation that `bench.py` runs, made by one INSERT, to drive their statements bare.
struct BareSessions {
    let database: Database
    let tokens: [RefreshToken]

    /// `--database-url` is the environment's LATCHKEY_DATABASE_URL: a connection string may hold a password.
    ///
    /// - Parameter audience: what the sessions' access tokens are for.
    init(count: Int, audience: String = "http://127.0.0.1") async throws {
        guard let url = ProcessEnvironment.databaseURL else {
            throw ValidationError("LATCHKEY_DATABASE_URL is not set: bench.py sets it")
        }
        database = Database(DatabaseConfiguration(connectionString: url))
        let row = try await database.query(
            "SELECT fence, (SELECT id FROM users WHERE username = 'admin') AS admin FROM installation"
        ).one()
        let fence: Int64 = try row.decode("fence")
        let admin: UniqueID = try row.decode("admin")
        let slot: Int16 = 3
        let rids = (0..<count).map { _ in Bytes([UInt8(slot)] + SecureRandom.bytes(15)) }
        try await database.query(
            """
            INSERT INTO sessions (
                slot, rid, sid, user_id, client_id, gen, conf, conf_at, issued_at, idle_until, max_until, auth_time,
                audience)
            SELECT \(slot), rid, gen_random_uuid(), \(admin), 'first-party', 1, 0, now(), now(),
                   now() + interval '14 days', now() + interval '90 days', now(), ARRAY[\(audience)]
            FROM unnest(\(rids)) AS rid
            """)
        tokens = rids.map { RefreshToken(rid: $0.bytes, fence: UInt32(truncatingIfNeeded: fence), generation: 1) }
    }
}
