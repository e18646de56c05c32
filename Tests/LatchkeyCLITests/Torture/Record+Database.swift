import JOSE
import Postgres

extension Record {
    /// - Parameter database: at rest: nobody writes to it any more.
    init(reading database: Database) async throws {
        for row in try await database.query(Self.sessionRows, timeout: Self.timeout).rows {
            sessions[try row.decode("sid")] = Session(
                generation: try row.decode("gen"), confirmed: try row.decode("conf"),
                endCause: try row.decodeIfPresent("end_cause"), listedUntil: try row.decodeIfPresent("listed"))
        }
        let revoked: Query = """
            SELECT id, max(floor(extract(epoch FROM expires_at)))::bigint AS listed
            FROM revocation_entries
            WHERE kind = 1
            GROUP BY id
            """
        for row in try await database.query(revoked, timeout: Self.timeout).rows {
            revokedTokens[try row.decode("id")] = try row.decode("listed", as: Int64.self)
        }
        for row in try await database.query(Self.accountRows, timeout: Self.timeout).rows {
            let name: String = try row.decode("username")
            guard name.hasPrefix("person-"), let number = Int(name.dropFirst("person-".count)) else { continue }
            accounts[number] = Account(
                registrations: try row.decode("registrations"), passwordChanges: try row.decode("changes"),
                disables: try row.decode("disables"), enables: try row.decode("enables"))
        }
        let signing: Query = "SELECT kid FROM signing_keys WHERE activates_at IS NOT NULL"
        for row in try await database.query(signing).rows { signers.insert(try row.decode("kid")) }
        for row in try await database.query(Self.survivorsOfChanges, timeout: Self.timeout).rows {
            survivorsOfChanges.insert(try row.decode("sid"))
        }
        for row in try await database.query(Self.survivorsOfDisables, timeout: Self.timeout).rows {
            survivorsOfDisables.insert(try row.decode("sid"))
        }
        let late: Query = """
            SELECT sid
            FROM sessions
            WHERE ended_at IS NOT NULL AND GREATEST(conf_at, issued_at) > ended_at
            """
        for row in try await database.query(late, timeout: Self.timeout).rows {
            mintedAfterEnd.insert(try row.decode("sid"))
        }
    }

    private static let timeout: Int64 = 60_000_000_000

    private static let sessionRows: Query = """
        SELECT s.sid, s.gen, s.conf, s.end_cause, floor(extract(epoch FROM e.expires_at))::bigint AS listed
        FROM sessions s LEFT JOIN (
            SELECT id, max(expires_at) AS expires_at FROM revocation_entries WHERE kind = 2 GROUP BY id
        ) AS e ON e.id = s.sid
        """

    private static let accountRows: Query = """
        SELECT u.username, count(*) FILTER (WHERE a.action = 'user.registered') AS registrations,
               count(*) FILTER (WHERE a.action = 'user.password-changed') AS changes,
               count(*) FILTER (WHERE a.action = 'user.disabled') AS disables,
               count(*) FILTER (WHERE a.action = 'user.enabled') AS enables
        FROM users u LEFT JOIN audit_events a ON a.target = 'user:' || u.id::text
        GROUP BY u.username
        """

    /// Among them sessions whose birth no client ever heard of.
    private static let survivorsOfChanges: Query = """
        SELECT s.sid
        FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.ended_at IS NULL AND s.auth_time < u.password_changed_at
        """

    private static let survivorsOfDisables: Query = """
        SELECT s.sid
        FROM sessions s
        WHERE s.ended_at IS NULL AND EXISTS (
            SELECT FROM audit_events a
            WHERE a.action = 'user.disabled' AND a.target = 'user:' || s.user_id::text AND a.at > s.auth_time)
        """
}
