import Hummingbird
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

@Suite("What every answer carries, and whom it believes")
struct EdgeFieldTests {
    @Test("takes the caller's address from the proxies that it trusts")
    func proxies() async throws {
        for (trusted, address) in [("127.0.0.0/8", "203.0.113.9"), ("192.0.2.1", "127.0.0.1")] {
            try await TestInstallation.run(settings: {
                $0.trustedProxies = TrustedProxies([trusted].compactMap(IPAddressRange.init))
            }) { it in
                let body = Array(#"{"username":"ada","password":"correct horse"}"#.utf8)
                let answer = try await it.node.send(
                    .POST, "/auth/register",
                    headers: [
                        ("content-type", "application/json"), ("x-forwarded-for", "198.51.100.7, 203.0.113.9"),
                        ("x-forwarded-for", "127.0.0.2"),
                    ], body: body)
                #expect(answer.status == 201)
                let row = try await it.database.query(
                    "SELECT address FROM audit_events WHERE action = 'user.registered'"
                ).one()
                #expect(try row.decode("address", as: String.self) == address)
            }
        }
    }

    @Test("puts security headers on every answer, HSTS where the issuer has TLS")
    func headers() async throws {
        for issuer in ["https://id.example", "http://127.0.0.1:1"] {
            try await TestInstallation.run(settings: { $0.issuer = issuer }) { it in
                for (method, path, status) in [
                    ("GET", "/livez", 200), ("HEAD", "/livez", 200), ("GET", "/nowhere", 404), ("PUT", "/livez", 405),
                    ("OPTIONS", "/livez", 204), ("OPTIONS", "/nowhere", 404), ("POST", "/auth/login", 415),
                    ("GET", "/account", 401), ("GET", "/.well-known/jwks.json", 200),
                    ("GET", "/.well-known/openid-configuration", 200), ("POST", "/oauth2/token", 415),
                ] {
                    let answer = try await it.node.send(.init(rawValue: method), path)
                    #expect(answer.status == status, "\(method) \(path)")
                    let headers = answer.headers
                    #expect(headers["x-content-type-options"] == ["nosniff"])
                    #expect(headers["referrer-policy"] == ["no-referrer"])
                    #expect(headers["content-security-policy"] == ["default-src 'none'; frame-ancestors 'none'"])
                    #expect(
                        headers["strict-transport-security"] == (issuer.hasPrefix("https") ? ["max-age=31536000"] : []))
                    #expect(headers["cache-control"].count == 1 && headers["x-request-id"].count == 1)
                    let isPublic = path.hasPrefix("/.well-known")
                    #expect((headers.first(name: "cache-control") == "no-store") == !isPublic)
                    if method == "HEAD" { #expect(answer.body == [] && headers["content-length"] != ["0"]) }
                }
            }
        }
    }

    @Test("answers OPTIONS for the server, for a path, and for a script of another origin")
    func options() async throws {
        try await TestInstallation.run { it in
            let caller = try await RawCaller.connect(port: it.node.port)
            caller.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + RawRequest.livez)
            #expect(await caller.answers(2).map(\.status) == [204, 200])
            await caller.close()

            let login = try await it.node.send(.OPTIONS, "/auth/login")
            #expect(login.status == 204 && login.headers["allow"] == ["OPTIONS, POST"])
            #expect(login.headers["access-control-allow-origin"] == [])
            for path in [
                "/.well-known/jwks.json", "/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server",
            ] {
                let answer = try await it.node.send(
                    .OPTIONS, path,
                    headers: [("origin", "https://app.example"), ("access-control-request-method", "GET")])
                #expect(answer.status == 204 && answer.headers["allow"] == ["GET, HEAD, OPTIONS"])
                #expect(answer.headers["access-control-allow-origin"] == ["*"])
                #expect(answer.headers["access-control-allow-methods"] == ["GET, HEAD"])
            }
        }
    }
}
