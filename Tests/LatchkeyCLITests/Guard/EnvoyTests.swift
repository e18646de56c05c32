import Glibc
import JOSE
import LatchkeyTesting
import NIOHTTP1
import Testing

/// `latchkey guard` behind Envoy itself, with the configuration that docs/packaging shows.
@Suite(.sharedDev) struct EnvoyTests {
    /// Runs `body` with a guard, and Envoy between it and a service.
    private static func run(
        of dev: Dev, _ options: [String] = [], _ body: (Envoy, GuardProcess, EchoService) async throws -> Void
    ) async throws {
        try await EchoService.run { service async throws in
            try await GuardProcess.run(of: dev.site, options) { it async throws in
                try await Envoy.run(guardPort: it.port, servicePort: service.port) { envoy in
                    try await body(envoy, it, service)
                }
            }
        }
    }

    @Test func `A good token passes with its identity, and what the caller says of his own is nobody's`() async throws {
        let dev = try SharedDev.dev
        let user = try await NginxGuardTests.clerk(dev, "envoy-ada")
        try await Self.run(of: dev) { envoy, _, service async throws in
            let answer = try await envoy.send(
                "/orders/1?x=%20&y=2", user["access_token"], method: .POST,
                headers: [
                    ("X-Auth-Subject", "root"), ("x-auth-session", "none"), ("X-Guard-Scope", "none"),
                ], body: Array("hello".utf8))
            #expect(answer.status == 200)
            let seen = try #require(service.seen.last)
            #expect(seen.method == "POST" && seen.target == "/orders/1?x=%20&y=2")
            #expect(seen.isWhole && seen.body == Array("hello".utf8))
            try await seen.expectClerk(user, of: dev.site)
        }
        // What the token does not have is no field of the caller's, either.
        let client = try #require(
            try await dev.json(
                "clients", "create", "envoy", "--scope", "orders:read", "--grant-type", "client_credentials",
                "--auth-method", "client_secret_post")?.object)
        let granted = try await dev.site.form(
            "/oauth2/token",
            [
                ("grant_type", "client_credentials"), ("client_id", client["client_id"]?.string ?? ""),
                ("client_secret", client["client_secret"]?.string ?? ""),
            ])
        try #require(granted.status == 200, "\(granted.json)")
        try await Self.run(of: dev) { envoy, _, service async throws in
            let answer = try await envoy.send(
                "/", granted["access_token"], headers: [("X-Auth-Roles", "admin"), ("X-Auth-Session", "1")])
            #expect(answer.status == 200)
            let seen = try #require(service.seen.last)
            #expect(seen["X-Auth-Roles"] == [])
            #expect(seen["X-Auth-Scope"] == ["orders:read"])
        }
    }

    @Test func `Without a good token, or without the scope, nothing reaches the service, and the caller is told why`()
        async throws
    {
        let dev = try SharedDev.dev
        let clerk = try await NginxGuardTests.clerk(dev, "envoy-bob")
        let user = try await dev.site.newUser("envoy-carla")["access_token"]
        let token = clerk["access_token"]
        try await Self.run(of: dev) { envoy, _, service async throws in
            let before = service.seen.count
            for (token, status, word) in [
                (nil, 401, "Bearer"), ("nonsense", 401, "invalid_token"), (token + "A", 401, "invalid_token"),
                (clerk["refresh_token"], 401, "invalid_token"), ("two words", 401, "invalid_request"),
                (user, 403, "insufficient_scope"),
            ] as [(String?, Int, String)] {
                let answer = try await envoy.send("/orders/?scope=account", token)
                #expect(answer.status == status, "\(word)")
                #expect(answer.headers["www-authenticate"].joined().contains(word), "\(answer.headers)")
            }
            // To CGI and WSGI these are X-Auth-Roles.
            for name in ["X_Auth_Roles", "X.Auth.Roles", "x~auth!subject", "X-Auth.Roles"] {
                #expect(try await envoy.send("/orders/", token, headers: [(name, "admin")]).status == 400, "\(name)")
            }
            for path in ["/orders%2Fadmin", "/x%5c..%5cadmin/"] {
                #expect(try await envoy.send(path, token).status == 400, "\(path)")
            }
            #expect(service.seen.count == before)
            for path in ["/x/../admin/?a=/../", "/x/%2e%2e/admin/?a=/../", "/x/..//admin/?a=/../"] {
                let caller = try await RawCaller.connect(port: envoy.port)
                caller.send("GET \(path) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
                #expect(await caller.answers(1).map(\.status) == [200], "\(path)")
                await caller.close()
                #expect(service.seen.last?.target == "/admin/?a=/../")
            }
        }
    }

    @Test func `Revoked in the middle, it is refused within a second`() async throws {
        let dev = try SharedDev.dev
        let user = try await NginxGuardTests.clerk(dev, "envoy-eve")
        try await Self.run(of: dev) { envoy, _, _ async throws in
            #expect(try await envoy.send("/", user["access_token"]).status == 200)
            #expect(try await dev.site.revoke(user["refresh_token"]).status == 200)
            let revoked = ContinuousClock.now
            let isRefused = try await becomesTrue(within: .seconds(5)) {
                try await envoy.send("/", user["access_token"]).status == 401
            }
            let delay = ContinuousClock.now - revoked
            #expect(isRefused && delay < .seconds(1), "\(delay)")
            print("revoked, then refused behind Envoy: \(delay)")
        }
    }

    @Test func `Without the guard, or where it does not answer, nothing passes`() async throws {
        let dev = try SharedDev.dev
        let token = try await NginxGuardTests.clerk(dev, "envoy-fay")["access_token"]
        try await Self.run(of: dev) { envoy, it, service async throws in
            #expect(try await envoy.send("/", token).status == 200)
            let before = service.seen.count
            it.process.send(SIGSTOP)
            #expect(try await envoy.send("/", token).status == 503)
            it.process.send(SIGCONT)
            #expect(try await becomesTrue { try await envoy.send("/", token).status == 200 })
            let between = service.seen.count
            #expect(between == before + 1)
            it.process.send(SIGTERM)
            #expect(try await it.process.end(within: 20).exit == .code(0))
            for _ in 0..<3 { #expect(try await envoy.send("/", token).status == 503) }
            #expect(service.seen.count == between)
        }
    }
}
