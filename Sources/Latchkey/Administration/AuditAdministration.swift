import Foundation
package import Hummingbird
package import JOSE
import LatchkeyHummingbird
package import Postgres

/// `GET /admin/audit`.
package struct AuditAdministration: Sendable {
    private let log: AuditLog

    package init(_ log: AuditLog) {
        self.log = log
    }

    package func add(to router: some RouterMethods<LatchkeyRequestContext>) {
        router.get("/admin/audit") { request, context in
            try context.require(scope: "audit:read")
            let page = try Page(request)
            let query = request.uri.queryParameters
            let records = try await log.records(
                since: try query["since"].map { try Self.instant(String($0)) },
                actor: query["actor"].map { String($0) }, target: query["target"].map { String($0) },
                before: try page.afterNumber(), limit: page.limit + 1)
            return page.response(records, json: \.json, cursor: { String($0.id) })
        }
    }

    /// RFC 3339.
    package static func instant(_ text: String) throws -> Instant {
        let formats: [Date.ISO8601FormatStyle] = [.iso8601, Date.ISO8601FormatStyle(includingFractionalSeconds: true)]
        for format in formats {
            // Years beyond 9999 are no RFC 3339, and beyond 292,277 no Int64 of microseconds: the conversion would trap.
            if let date = try? format.parse(text),
                (-62_167_219_200..<253_402_300_800).contains(date.timeIntervalSince1970)
            {
                return Instant(microseconds: Int64((date.timeIntervalSince1970 * 1_000_000).rounded()))
            }
        }
        throw Rejection.invalidField("since", reason: "It is a time such as 2026-11-22T17:00:00Z.")
    }
}

extension AuditRecord {
    package var json: JSONValue {
        .object(
            JSONObject([
                ("id", .integer(id)), ("at", .string(RFC3339.text(microseconds: at.microseconds))),
                ("actor", .string(actor)), ("action", .string(action)), ("target", .string(target)),
                ("address", address.map { .string($0) }), ("request_id", requestID.map { .string($0) }),
                ("detail", (try? JSONValue.parse(Array(detail.utf8))) ?? .object(JSONObject())),
            ]))
    }
}
