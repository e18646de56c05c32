import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

@Suite("Registering a client")
struct ClientRegistrationTests {
    @Test("answers in the names of RFC 7591")
    func answer() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let answer = try await it.node.post(
                "/admin/clients", ["client_name": "Bestellungen ü", "scope": "orders:read users:read"],
                bearer: administrator)
            #expect(answer.status == 201)
            #expect(answer.header("cache-control") == "no-store")
            #expect(answer.header("location") == "/admin/clients/\(answer["client_id"])")
            #expect(UniqueID(text: answer["client_id"]) != nil)
            #expect(answer["client_secret"].wholeMatch(of: /lkcs_[A-Za-z0-9_-]{43}/) != nil)
            #expect(answer.json["client_secret_expires_at"]?.int == 0)
            #expect(answer["client_name"] == "Bestellungen ü")
            #expect(answer.json["grant_types"] == ["client_credentials"])
            #expect(answer["token_endpoint_auth_method"] == "client_secret_basic")
            #expect(answer["scope"] == "orders:read users:read")
            #expect(answer.json["redirect_uris"] == [])
            #expect(answer["status"] == "active")
            #expect(!answer.json.members.contains { $0.value == .null })
            let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
            #expect((now.seconds - 60...now.seconds).contains(try #require(answer.json["client_id_issued_at"]?.int)))

            // What is shown later is the same without the secret.
            var expected = answer.json
            expected["client_secret"] = nil
            expected["client_secret_expires_at"] = nil
            let shown = try await it.node.get("/admin/clients/\(answer["client_id"])", bearer: administrator)
            #expect(shown.json == expected)
            #expect(try await it.audited("client.created", "client:\(answer["client_id"])") == 1)
        }
    }

    @Test("makes a public client, which has no secret")
    func publicClient() async throws {
        try await TestInstallation.run { it in
            let answer = try await it.node.post(
                "/admin/clients",
                [
                    "client_name": "an app", "token_endpoint_auth_method": "none",
                    "grant_types": ["authorization_code", "refresh_token"],
                    "redirect_uris": ["com.example.app:/cb", "http://127.0.0.1/cb"],
                ], bearer: try await it.node.administrator())
            #expect(answer.status == 201)
            #expect(answer.json["client_secret"] == nil)
            #expect(answer.json["client_secret_expires_at"] == nil)
            #expect(answer.json["redirect_uris"] == ["com.example.app:/cb", "http://127.0.0.1/cb"])
        }
    }

    static let refusals: [(body: JSONValue, field: String)] = [
        (["client_name": ""], "client_name"), (["client_name": "a\u{7}b"], "client_name"),
        (["client_name": .string(String(repeating: "x", count: 257))], "client_name"),
        (["client_name": "x", "grant_types": []], "grant_types"),
        (["client_name": "x", "grant_types": ["password"]], "grant_types"),
        (["client_name": "x", "grant_types": ["implicit"]], "grant_types"),
        (["client_name": "x", "grant_types": ["client_credentials", "client_credentials"]], "grant_types"),
        (["client_name": "x", "token_endpoint_auth_method": "none"], "grant_types"),
        (["client_name": "x", "token_endpoint_auth_method": "private_key_jwt"], "token_endpoint_auth_method"),
        (["client_name": "x", "token_endpoint_auth_method": ""], "token_endpoint_auth_method"),
        (["client_name": "x", "grant_types": ["authorization_code"]], "redirect_uris"),
        (["client_name": "x", "scope": "a\"b"], "scope"), (["client_name": "x", "scope": "ä"], "scope"),
        (["client_name": "x", "scope": "account"], "scope"), (["client_name": "x", "scope": "a account"], "scope"),
        (["client_name": "x", "scope": .string(String(repeating: "x ", count: 1001))], "scope"),
    ]

    @Test("is refused with the field that is wrong")
    func refused() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            for (body, field) in Self.refusals {
                let answer = try await it.node.post("/admin/clients", body, bearer: administrator)
                #expect(answer.status == 422, "\(body)")
                #expect(answer["code"] == "invalid-field", "\(body)")
                #expect(answer["field"] == field, "\(body)")
            }
            let nameless = try await it.node.post("/admin/clients", [:], bearer: administrator)
            #expect(nameless.status == 400)
            #expect(nameless["field"] == "client_name")
            for body: JSONValue in [
                ["client_name": 1], ["client_name": "x", "scope": ["a"]], ["client_name": "x", "grant_types": "x"],
            ] {
                #expect(try await it.node.post("/admin/clients", body, bearer: administrator)["code"] == "wrong-type")
            }
            let count: Int64 = try await it.database.query("SELECT count(*) AS n FROM clients").one().decode("n")
            #expect(count == 1)
        }
    }

    static let redirectURIs: [(uri: String, isGood: Bool)] = [
        ("https://app.example/cb", true), ("https://app.example", true), ("https://app.example/cb?x=1", true),
        ("http://127.0.0.1/cb", true), ("http://127.0.0.1:8080/cb", true), ("http://localhost:1/", true),
        ("http://[::1]/cb", true), ("com.example.app:/cb", true), ("com.example.app://cb", true),
        ("", false), ("/cb", false), ("app.example/cb", false), ("https://", false), ("https:///cb", false),
        ("http://app.example/cb", false), ("http://localhost.evil.example/", false),
        ("http://127.0.0.1@evil.example/", false), ("http://127.0.0.1:80@evil.example/", false),
        ("http://127.0.0.1:x@evil.example/", false), ("https://app.example@evil.example/", false),
        ("https://app.example/cb#x", false), ("https://app.example/c b", false), ("https://app.example/ä", false),
        ("https://app.example\\@evil.example", false), ("javascript:alert(1)", false), ("app:/cb", false),
        ("data:text/html,x", false), (".app:/cb", false), ("1.app:/cb", false), ("Com.Example:/cb", false),
        ("HTTPS://app.example/cb", false), ("https://app.example/\n", false),
        ("https://app.example/" + String(repeating: "x", count: 2000), false),
    ]

    @Test("takes redirect URIs of RFC 8252 and no others", arguments: redirectURIs.indices)
    func redirectURI(index: Int) {
        let (uri, isGood) = Self.redirectURIs[index]
        let request = ClientRequest(name: "x", grantTypes: ["authorization_code"], redirectURIs: [uri])
        #expect(((try? ClientMetadata(request, over: nil)) != nil) == isGood, "\(uri)")
    }

    @Test("gives no scope of our own API that the caller does not carry, nor a mightier client's secret")
    func escalation() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let mighty = try await it.node.newClient(administrator, scope: "users:write introspect")
            let narrow = try await it.node.post(
                "/auth/login",
                ["username": "root", "password": "correct horse", "scope": "clients:write users:read"])
            let path = "/admin/clients"
            let own = try await it.node.newClient(narrow.access, scope: "users:read clients:write orders:write")

            let refused: [(String, TestNode.Answer)] = [
                (
                    "users:write",
                    try await it.node.post(
                        path, ["client_name": "x", "scope": "users:read users:write"], bearer: narrow.access)
                ),
                (
                    "keys:compromise",
                    try await it.node.patch(
                        "\(path)/\(own.id)", ["scope": "users:read keys:compromise"], bearer: narrow.access)
                ),
                ("users:write", try await it.node.post("\(path)/\(mighty.id)/secret", bearer: narrow.access)),
                (
                    "users:write",
                    try await it.node.post(
                        "\(path)/\(mighty.id)/secret", ["expire_old_after": 0], bearer: narrow.access)
                ),
                (
                    "users:write",
                    try await it.node.patch(
                        "\(path)/\(mighty.id)", ["redirect_uris": ["https://evil.example/"]], bearer: narrow.access)
                ),
                (
                    "users:write",
                    try await it.node.patch("\(path)/\(mighty.id)", ["scope": ""], bearer: narrow.access)
                ),
            ]
            for (scope, answer) in refused {
                #expect(answer.status == 403)
                #expect(answer["code"] == "insufficient-scope")
                #expect(answer["scope"] == scope)
                #expect(answer.json["client_secret"] == nil)
            }
            #expect(try await mighty.token(it.node)["scope"] == "users:write introspect")
            // A client with `clients:write` is held to the same.
            let token = try await own.token(it.node)
            let made = try await it.node.post(
                path, ["client_name": "x", "scope": "sessions:revoke"], bearer: token.access)
            #expect(made.status == 403)
            // Taking away needs no more than `clients:write`.
            #expect(try await it.node.post("\(path)/\(mighty.id)/disable", bearer: narrow.access).status == 204)
        }
    }

    @Test("knows every scope of our own API, as the role admin does")
    func administrativeScopes() async throws {
        try await TestInstallation.run { it in
            let scopes: [String] = try await it.database.query("SELECT scopes FROM roles WHERE name = 'admin'")
                .one().decode("scopes")
            #expect(Set(scopes) == Set(Scope.administrative))
        }
    }

    @Test("leaves the built-in client as it is, and a client its kind")
    func unchangeable() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let path = "/admin/clients/first-party"
            for answer in [
                try await it.node.post("\(path)/disable", bearer: administrator),
                try await it.node.patch(path, ["client_name": "x"], bearer: administrator),
            ] {
                #expect(answer.status == 409)
                #expect(answer["code"] == "built-in-client")
            }
            #expect(try await it.node.logIn("root").status == 200)

            let client = try await it.node.newClient(administrator)
            let turned = try await it.node.patch(
                "/admin/clients/\(client.id)",
                ["token_endpoint_auth_method": "none", "grant_types": ["refresh_token"]], bearer: administrator)
            #expect(turned.status == 422)
            #expect(turned["field"] == "token_endpoint_auth_method")
            for path in ["/disable", "/enable", "/secret"] {
                #expect(try await it.node.post("/admin/clients/nobody\(path)", bearer: administrator).status == 404)
            }
            #expect(try await it.node.patch("/admin/clients/nobody", [:], bearer: administrator).status == 404)
            #expect(try await it.node.get("/admin/clients/nobody", bearer: administrator).status == 404)
        }
    }

    @Test("puts clients on pages, in the order of their making")
    func pages() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            var ids: [String] = []
            for _ in 0..<5 { ids.append(try await it.node.newClient(administrator).id) }
            var (seen, after): ([String], String?) = ([], nil)
            repeat {
                let answer = try await it.node.get(
                    "/admin/clients?limit=2" + (after.map { "&after=\($0)" } ?? ""), bearer: administrator)
                let items = try #require(answer.json["items"]?.array)
                #expect(items.count <= 2)
                seen += items.compactMap { $0.object?["client_id"]?.string }
                after = answer.json["next"]?.string
            } while after != nil
            #expect(seen == ids.sorted() + ["first-party"])
            #expect(Set(ids).count == 5)
        }
    }
}
