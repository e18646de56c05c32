import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("Client credentials")
struct ClientCredentialsTests {
    @Test(
        "give a client an access token for itself, and no refresh token",
        arguments: ["client_secret_basic", "client_secret_post"])
    func token(method: String) async throws {
        try await TestInstallation.run { it in
            let client = try await it.node.newClient(
                try await it.node.administrator(), scope: "users:read orders:write", method: method)
            let answer = try await client.token(it.node)
            #expect(answer.status == 200)
            #expect(answer.header("cache-control") == "no-store")
            #expect(Set(answer.json.members.map(\.name)) == ["access_token", "token_type", "expires_in", "scope"])
            #expect(answer["token_type"] == "Bearer")
            #expect(answer.json["expires_in"]?.int == 600)
            #expect(answer["scope"] == "users:read orders:write")

            let claims = try answer.claims
            #expect(claims["sub"]?.string == client.id)
            #expect(claims["client_id"]?.string == client.id)
            #expect(claims["iss"]?.string == it.settings.issuer)
            #expect(claims["aud"]?.string == it.settings.issuer)
            #expect(claims["scope"] == "users:read orders:write")
            #expect(try answer.sid == (try await it.epoch(client)))
            #expect(claims["roles"] == nil && claims["auth_time"] == nil)
            let (issued, expires) = (try #require(claims["iat"]?.int), try #require(claims["exp"]?.int))
            #expect(expires - issued == 600)
            #expect(try await it.node.takes(answer.access))
            // No two tokens are one, and both are of the same epoch.
            let second = try await client.token(it.node)
            #expect(try second.tokenID != answer.tokenID)
            #expect(try second.sid == answer.sid)
        }
    }

    static let scopes: [(asked: String, granted: String?)] = [
        ("orders:read", "orders:read"), ("orders:write orders:read", "orders:write orders:read"),
        ("orders:read orders:read", "orders:read"), ("orders:delete", nil), ("orders:read orders:delete", nil),
        ("account", nil), ("Orders:read", nil), ("orders:read\u{301}", nil), ("\"", nil), (" ", nil),
        ("users:read", nil),
    ]

    @Test("give what is asked of the client's scopes, and never another (RFC 6749 §3.3)")
    func subset() async throws {
        try await TestInstallation.run { it in
            let client = try await it.node.newClient(
                try await it.node.administrator(), scope: "orders:read orders:write")
            for (asked, granted) in Self.scopes {
                let answer = try await client.token(it.node, scope: asked)
                if let granted {
                    #expect(answer["scope"] == granted, "\(asked)")
                    #expect(try answer.claims["scope"]?.string == granted, "\(asked)")
                } else {
                    it.expectRefused(answer, 400, "invalid_scope", "\(asked)")
                }
            }
            let none = try await it.node.newClient(try await it.node.administrator("second"))
            let answer = try await none.token(it.node)
            #expect(answer.status == 200)
            #expect(answer.json["scope"] == nil)
            #expect(try answer.claims["scope"] == nil)
            it.expectRefused(try await none.token(it.node, scope: "orders:read"), 400, "invalid_scope")
        }
    }

    @Test("name known audiences alone (RFC 8707 §2)")
    func audiences() async throws {
        try await TestInstallation.run { it in
            let client = try await it.node.newClient(try await it.node.administrator(), scope: "users:read")
            let one = try await client.token(it.node, resources: ["https://api.example"])
            #expect(try one.claims["aud"] == "https://api.example")
            // A token for another service is none for this one.
            #expect(try await it.node.takes(one.access) == false)
            let two = try await client.token(it.node, resources: ["https://api.example", it.settings.issuer])
            #expect(try two.claims["aud"] == .array(["https://api.example", .string(it.settings.issuer)]))
            for unknown in ["https://api.example/", "https://evil.example", "x"] {
                it.expectRefused(
                    try await client.token(it.node, resources: [it.settings.issuer, unknown]), 400, "invalid_target")
            }
        }
    }

    static let refusals: [(name: String, form: [(String, String)], status: Int, error: String)] = [
        ("no client at all", [("grant_type", "client_credentials")], 401, "invalid_client"),
        (
            "the built-in client", [("grant_type", "client_credentials"), ("client_id", "first-party")], 401,
            "invalid_client"
        ),
        ("no grant type", [], 400, "invalid_request"),
        ("an empty grant type", [("grant_type", "")], 400, "invalid_request"),
        ("two grant types", [("grant_type", "client_credentials"), ("grant_type", "x")], 400, "invalid_request"),
        ("another grant type", [("grant_type", "client_credentials%00")], 400, "invalid_request"),
        ("a grant type with a space", [("grant_type", "client_credentials+")], 400, "unsupported_grant_type"),
        ("a grant that is not there yet", [("grant_type", "authorization_code")], 400, "unsupported_grant_type"),
        (
            "two scopes", [("grant_type", "client_credentials"), ("scope", "a"), ("scope", "b")], 400,
            "invalid_request"
        ),
    ]

    @Test("are refused, each in its way (RFC 6749 §5.2)")
    func refused() async throws {
        try await TestInstallation.run { it in
            for (name, form, status, error) in Self.refusals {
                it.expectRefused(try await it.node.form("/oauth2/token", form), status, error, "\(name)")
            }
            let administrator = try await it.node.administrator()
            let open = try await it.node.newClient(administrator, method: "none", grants: ["refresh_token"])
            it.expectRefused(try await open.token(it.node), 401, "invalid_client")
            let other = try await it.node.newClient(administrator, grants: ["refresh_token"])
            it.expectRefused(try await other.token(it.node), 400, "unauthorized_client")
            let service = try await it.node.newClient(administrator)
            it.expectRefused(
                try await service.post(
                    it.node, "/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", "x")]),
                400, "unauthorized_client")
        }
    }

    @Test("open our own API to the scopes given, and nobody's account")
    func ownAPI() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator, scope: "users:read sessions:revoke")
            let token = try await client.token(it.node)
            #expect(try await it.node.get("/admin/users", bearer: token.access).status == 200)
            #expect(try await it.node.get("/admin/clients", bearer: token.access).status == 403)
            #expect(try await it.node.get("/account", bearer: token.access).status == 403)
            // Not even with the scope, which no registration gives.
            try await it.database.query("UPDATE clients SET scopes = '{account}' WHERE id = \(client.id)")
            let stolen = try await client.token(it.node)
            for path in ["/account", "/account/sessions"] {
                let answer = try await it.node.get(path, bearer: stolen.access)
                #expect(answer.status == 401, "\(path)")
                #expect(answer["code"] == "invalid-token", "\(path)")
            }
            #expect(try await it.node.post("/auth/logout", bearer: stolen.access).status == 401)
            // What it does is told under its name.
            let alice = try await it.node.newUser("alice")
            #expect(
                try await it.node.delete("/admin/sessions/\(try alice.sid.text)", bearer: token.access).status == 204)
            let actor: String = try await it.database.query(
                "SELECT actor FROM audit_events WHERE target = \("session:\(try alice.sid.text)")"
            ).one().decode("actor")
            #expect(actor == "client:\(client.id)")
        }
    }

    @Test("are given to many at once, each a token of its own")
    func manyAtOnce() async throws {
        try await TestInstallation.run { it in
            let client = try await it.node.newClient(try await it.node.administrator(), scope: "users:read")
            let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for _ in 0..<40 { group.addTask { try await client.token(it.node) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 })
            #expect(Set(try answers.map { try $0.tokenID }).count == 40)
        }
    }

    @Test("are refused with 503 by a node that cannot prove its list is fresh", .eachAnswerCounts)
    func stale() async throws {
        try await TestInstallation.run { it in
            let client = try await it.node.newClient(try await it.node.administrator())
            try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                // The tick cannot write its row: after two seconds the node mints nothing.
                try await transaction.hold("LOCK TABLE node_ticks IN EXCLUSIVE MODE")
                #expect(
                    try await becomesTrue(within: .seconds(10)) { try await client.token(it.node).status == 503 })
                try await transaction.commit()
            }
            #expect(try await becomesTrue { try await client.token(it.node).status == 200 })
        }
    }
}
