import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

/// A session's row as it stands in the database.
struct SessionRow: Sendable, Equatable {
    var generation: Int64
    var confirmed: Int64
    var confirmedAt: Instant
    var issuedAt: Instant
    var idleUntil: Instant
    var maxUntil: Instant
    var endedAt: Instant?
    var cause: String?

    var isLive: Bool { endedAt == nil }
}

extension TestInstallation {
    func row(_ tokens: TestNode.Answer) async throws -> SessionRow {
        let row = try await database.query(
            """
            SELECT gen, conf, conf_at, issued_at, idle_until, max_until, ended_at, end_cause
            FROM sessions WHERE sid = \(try tokens.sid)
            """
        ).one()
        return SessionRow(
            generation: try row.decode("gen"), confirmed: try row.decode("conf"),
            confirmedAt: try row.decode("conf_at"),
            issuedAt: try row.decode("issued_at"), idleUntil: try row.decode("idle_until"),
            maxUntil: try row.decode("max_until"), endedAt: try row.decodeIfPresent("ended_at"),
            cause: try row.decodeIfPresent("end_cause"))
    }

    /// Lets time pass for one session: all its instants move back, its end of idling and of life among them.
    func age(_ tokens: TestNode.Answer, seconds: Int64) async throws {
        let result = try await database.query(
            """
            UPDATE sessions
            SET conf_at = conf_at - \(seconds) * interval '1 second', issued_at = issued_at - \(seconds) * interval '1 second',
                idle_until = idle_until - \(seconds) * interval '1 second',
                max_until = max_until - \(seconds) * interval '1 second'
            WHERE sid = \(try tokens.sid)
            """)
        try #require(result.affected == 1)
    }

    /// How many entries the list holds; of one session or token where it is named.
    func listed(_ id: UniqueID? = nil) async throws -> Int64 {
        try await database.query(
            "SELECT count(*) AS count FROM revocation_entries WHERE (\(id) IS NULL OR id = \(id))"
        ).one().decode("count")
    }

    /// How many audit rows tell of this action.
    func audited(_ action: String, _ target: String) async throws -> Int64 {
        try await database.query(
            "SELECT count(*) AS count FROM audit_events WHERE action = \(action) AND target = \(target)"
        ).one().decode("count")
    }

    /// A refused refresh that ends nothing changes nothing: the row before is the row after.
    func expectInvalidGrant(
        _ answer: TestNode.Answer, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(answer.status == 400, sourceLocation: sourceLocation)
        #expect(answer["error"] == "invalid_grant", sourceLocation: sourceLocation)
        #expect(answer.headers.first(name: "cache-control") == "no-store", sourceLocation: sourceLocation)
        #expect(answer.json["access_token"] == nil, sourceLocation: sourceLocation)
    }
}

extension TestNode.Answer {
    var access: String { self["access_token"] }
    var refresh: String { self["refresh_token"] }

    /// The session of an answer with tokens, read from its access token.
    var sid: UniqueID {
        get throws { try #require(UniqueID(text: try claim("sid"))) }
    }

    var tokenID: UniqueID {
        get throws { try #require(UniqueID(text: try claim("jti"))) }
    }

    var userID: String {
        get throws { try claim("sub") }
    }

    var claims: JSONObject {
        get throws {
            let parts = access.split(separator: ".", omittingEmptySubsequences: false)
            try #require(parts.count == 3, "no access token, but status \(status)")
            let payload = try #require(Base64URL.decode(parts[1].utf8))
            return try #require(try JSONValue.parse(payload).object)
        }
    }

    /// The `kid` of the access token's header.
    var signer: String {
        get throws {
            let header = try #require(access.split(separator: ".").first)
            let json = try JSONValue.parse(#require(Base64URL.decode(header.utf8)))
            return try #require(json.object?["kid"]?.string)
        }
    }

    private func claim(_ name: String) throws -> String {
        try #require(try claims[name]?.string)
    }

    func header(_ name: String) -> String? { headers.first(name: name) }
}

extension TestNode {
    /// Whether this node's own API takes the token now.
    func admits(_ tokens: Answer) async throws -> Bool {
        // A 503 is neither.
        let answer = try await TestNode.$asksAgain.withValue(true) {
            try await get("/account", bearer: tokens.access)
        }
        // 404: the token was taken, and the user it is of has been deleted.
        if answer.status == 200 || answer.status == 404 { return true }
        try #require(answer.status == 401)
        #expect(answer["code"] == "invalid-token")
        return false
    }
}
