import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("A refused refresh")
struct RefreshRefusalTests {
    @Test("refuses every token of before a raised fence and writes nothing")
    func fence() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let next = try await it.node.refresh(born.refresh)
            let row = try await it.row(born)
            try await it.database.query("UPDATE installation SET fence = fence + 1")
            for node in it.nodes {
                it.expectInvalidGrant(try await node.refresh(born.refresh))
                it.expectInvalidGrant(try await node.refresh(next.refresh))
                // Nor does one end a session.
                #expect(try await node.revoke(next.refresh).status == 200)
            }
            #expect(try await it.row(born) == row)
            #expect(try await it.listed() == 0)
            let after = try await it.node.logIn("alice")
            #expect(try await it.nodes[1].refresh(after.refresh).status == 200)
        }
    }

    enum Limit: String, CaseIterable { case idle, life }

    @Test("refuses a session that has idled or lived too long and writes nothing", arguments: Limit.allCases)
    func expiry(limit: Limit) async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let next = try await it.node.refresh(born.refresh)
            switch limit {
            case .idle: try await it.database.query("UPDATE sessions SET idle_until = clock_timestamp()")
            case .life:
                try await it.database.query(
                    "UPDATE sessions SET idle_until = clock_timestamp(), max_until = clock_timestamp()")
            }
            let row = try await it.row(born)
            for tokens in [next, born] { it.expectInvalidGrant(try await it.node.refresh(tokens.refresh)) }
            #expect(try await it.row(born) == row)
            #expect(row.isLive)
            #expect(try await it.listed() == 0)
            // Nor is it among the sessions that its owner sees.
            let sessions = try await it.node.get("/account/sessions", bearer: born.access)
            #expect(sessions.json["items"]?.array?.isEmpty == true)
        }
    }

    @Test("refuses another's client and writes nothing", .eachAnswerCounts)
    func wrongClient() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let next = try await it.node.refresh(born.refresh)
            // The row is of a client that exists no more: the first party presents its tokens.
            try await it.database.query("UPDATE sessions SET client_id = 'another'")
            let row = try await it.row(born)
            for tokens in [born, next] { it.expectInvalidGrant(try await it.node.refresh(tokens.refresh)) }
            #expect(try await it.row(born) == row)
            // And a client that calls itself another is none that we know.
            let answer = try await it.node.form(
                "/oauth2/token",
                [("grant_type", "refresh_token"), ("refresh_token", next.refresh), ("client_id", "another")])
            #expect(answer.status == 401)
            #expect(answer["error"] == "invalid_client")
            #expect(try await it.row(born) == row)
        }
    }

    static let notTokens: [(String, [(String, String)], Int, String)] = [
        ("no grant type", [("refresh_token", "x")], 400, "invalid_request"),
        ("no token", [("grant_type", "refresh_token")], 400, "invalid_request"),
        ("an empty token", [("grant_type", "refresh_token"), ("refresh_token", "")], 400, "invalid_request"),
        ("another grant", [("grant_type", "password"), ("refresh_token", "x")], 400, "unsupported_grant_type"),
        ("garbage", [("grant_type", "refresh_token"), ("refresh_token", "lkr1.AAAA")], 400, "invalid_grant"),
        (
            "a token of an unknown master key: another node may hold it",
            [
                ("grant_type", "refresh_token"),
                ("refresh_token", "lkr1.AwECAwQFBgcICQoLDA0OD2VT8QAAAAAHAAIp7YCvRrR8G2QSBUVVdX4R"),
            ], 503, "temporarily_unavailable"
        ),
        (
            "a token of another installation",
            [
                ("grant_type", "refresh_token"),
                ("refresh_token", "lkr1.AwECAwQFBgcICQoLDA0OD2VT8QAAAAAHAAEp7YCvRrR8G2QSBUVVdX4R"),
            ], 400, "invalid_grant"
        ),
        (
            "the same parameter twice",
            [("grant_type", "refresh_token"), ("refresh_token", "x"), ("refresh_token", "x")], 400, "invalid_request"
        ),
        (
            "a secret where there is none",
            [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_secret", "x")], 401, "invalid_client"
        ),
    ]

    @Test("refuses what is no token, each in its way", .eachAnswerCounts)
    func refusals() async throws {
        try await TestInstallation.run { it in
            for (name, form, status, error) in Self.notTokens {
                let answer = try await it.node.form("/oauth2/token", form)
                #expect(answer.status == status, "\(name)")
                #expect(answer["error"] == error, "\(name)")
                #expect((answer.header("retry-after") != nil) == (status == 503), "\(name)")
            }
            // An access token is none either.
            let born = try await it.node.newUser("alice")
            it.expectInvalidGrant(try await it.node.refresh(born.access))
        }
    }
}
