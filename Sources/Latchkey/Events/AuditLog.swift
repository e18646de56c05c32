package import Postgres

/// One row of the audit log.
package struct AuditRecord: Sendable {
    package let id: Int64
    package let at: Instant
    package let actor: String
    package let action: String
    package let target: String
    package let address: String?
    package let requestID: String?
    /// A JSON object.
    package let detail: String

    init(_ row: ResultSet.Row) throws(PostgresError) {
        id = try row.decode("id")
        at = try row.decode("at")
        actor = try row.decode("actor")
        action = try row.decode("action")
        target = try row.decode("target")
        address = try row.decodeIfPresent("address")
        requestID = try row.decodeIfPresent("request_id")
        detail = try row.decode("detail")
    }
}

/// Reading the audit log; `Event.row` writes it.
package struct AuditLog: Sendable {
    private let database: Database

    package init(_ database: Database) {
        self.database = database
    }

    /// Newest first. `before`: the id of the last record of the page before.
    package func records(
        since: Instant?, actor: String?, target: String?, before: Int64?, limit: Int64
    ) async throws(PostgresError) -> [AuditRecord] {
        let result = try await database.query(
            """
            SELECT id, at, actor, action, target, address, request_id, detail
            FROM audit_events
            WHERE (\(since) IS NULL OR at >= \(since))
              AND (\(actor) IS NULL OR actor = \(actor))
              AND (\(target) IS NULL OR target = \(target))
              AND (\(before) IS NULL OR id < \(before))
            ORDER BY id DESC
            LIMIT \(limit)
            """)
        var records: [AuditRecord] = []
        for row in result.rows { records.append(try AuditRecord(row)) }
        return records
    }
}
