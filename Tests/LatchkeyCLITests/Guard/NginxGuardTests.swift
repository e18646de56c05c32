import Foundation
import Glibc
import JOSE
import LatchkeyTesting
import NIOHTTP1
import Testing

/// `latchkey guard` behind Debian's nginx, with the configuration that docs/packaging shows.
@Suite(.sharedDev, .enabled(if: FileManager.default.isExecutableFile(atPath: Nginx.program)))
struct NginxGuardTests {
    /// A user with a role that carries `orders:read`.
    static func clerk(_ dev: Dev, _ name: String) async throws -> Site.Answer {
        // The second is refused: it is there.
        _ = try await dev.command("roles", "create", "clerk", "--scope", "orders:read")
        _ = try await dev.site.newUser(name)
        #expect(try await dev.command("users", "grant", name, "clerk").exit == .code(0))
        return try await dev.site.logIn(name)
    }

    /// Runs `body` with a guard, and nginx between it and a service.
    static func run(
        _ options: [String] = [], of dev: Dev,
        _ body: (Nginx, GuardProcess, EchoService) async throws -> Void
    ) async throws {
        try await EchoService.run { service async throws in
            try await GuardProcess.run(of: dev.site, options) { it async throws in
                try await Nginx.run(guardPort: it.port, servicePort: service.port) { nginx, _ in
                    try await body(nginx, it, service)
                }
            }
        }
    }

    @Test func `A good token passes with its identity, and what the caller says of his own is nobody's`() async throws {
        let dev = try SharedDev.dev
        let user = try await Self.clerk(dev, "ada")
        try await Self.run(of: dev) { nginx, _, service async throws in
            let answer = try await nginx.send(
                "/orders/1?x=%20&y=2", user["access_token"], method: .POST,
                headers: [
                    ("X-Auth-Subject", "root"), ("X-Auth-Roles", "admin"), ("X-Auth-Anything", "1"),
                    ("X_Auth_Subject", "root"), ("x-auth-session", "none"), ("X-Guard-Scope", "none"),
                    ("X-Guard-Misspelt", "none"),
                ], body: Array("hello".utf8))
            #expect(answer.status == 200)
            let seen = try #require(service.seen.last)
            #expect(seen.method == "POST" && seen.target == "/orders/1?x=%20&y=2")
            #expect(seen.isWhole && seen.body == Array("hello".utf8))
            try await seen.expectClerk(user, of: dev.site)
            #expect(seen["X_Auth_Subject"] == [])
        }
    }

    @Test func `Without a token, with a bad one or one of another audience nothing reaches the service`() async throws {
        let dev = try SharedDev.dev
        let user = try await Self.clerk(dev, "bob")
        try await Self.run(of: dev) { nginx, _, service async throws in
            let token = user["access_token"]
            let refused: [(String?, String)] = [
                (nil, "Bearer"), ("nonsense", "invalid_token"), (token + "A", "invalid_token"),
                (String(token.dropLast(8)) + "AAAAAAAA", "invalid_token"), ("two words", "invalid_request"),
                (user["refresh_token"], "invalid_token"),
            ]
            let before = service.seen.count
            for (token, word) in refused {
                let answer = try await nginx.send("/orders/", token)
                #expect(answer.status == 401, "\(word)")
                #expect(answer.headers["www-authenticate"].joined().contains(word), "\(answer.headers)")
            }
            let basic = try await nginx.send("/", headers: [("Authorization", "Basic YTpi")])
            #expect(basic.status == 401)
            // What nginx asks is not what a caller may ask.
            for path in ["/_guard/signed-in", "/_guard/", "/_guard/none"] {
                #expect(try await nginx.send(path, token).status == 404)
            }
            #expect(service.seen.count == before)
        }
        try await Self.run(["--audience", "https://elsewhere.example"], of: dev) { nginx, it, service async throws in
            let before = service.seen.count
            #expect(try await nginx.send("/", user["access_token"]).status == 401)
            #expect(service.seen.count == before)
            #expect(try await it.metric("latchkey_verifier_tokens_rejected_total{reason=\"wrong_audience\"}") == 1)
        }
    }

    @Test func `A missing scope or role is 403 with what is missing`() async throws {
        let dev = try SharedDev.dev
        let clerk = try await Self.clerk(dev, "carla")["access_token"]
        let user = try await dev.site.newUser("dan")["access_token"]
        let admin = try await dev.administrator()
        try await Self.run(of: dev) { nginx, _, service async throws in
            let refused = try await nginx.send("/orders/", user)
            #expect(refused.status == 403)
            #expect(
                refused.headers["www-authenticate"] == ["Bearer error=\"insufficient_scope\", scope=\"orders:read\""])
            let role = try await nginx.send("/admin/", clerk)
            #expect(role.status == 403)
            #expect(role.headers["www-authenticate"].joined().contains("The role admin is missing."))
            // A caller cannot ask the guard for less.
            for headers in [[("X-Guard-Scope", "account")], [("X-Guard-Role", "clerk")]] {
                #expect(try await nginx.send("/orders/?scope=account", user, headers: headers).status == 403)
            }
            #expect(service.seen.allSatisfy { $0.target == "/" })
            #expect(try await nginx.send("/orders/", clerk).status == 200)
            #expect(try await nginx.send("/admin/", admin).status == 200)
            #expect(try await nginx.send("/", user).status == 200)
        }
        // What every token must carry, beside what the location asks for.
        try await Self.run(["--scope", "orders:read", "--role", "clerk"], of: dev) { nginx, _, _ async throws in
            #expect(try await nginx.send("/", user).status == 403)
            #expect(try await nginx.send("/", clerk).status == 200)
        }
    }

    /// By a service that resolves what nginx has resolved already, or does not, these are others' than the location's.
    @Test func `A path that is not its own normal form reaches no service, whatever its location asks`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.administrator()
        try await Self.run(of: dev) { nginx, _, service async throws in
            let before = service.seen.count
            for path in [
                "/admin/%2e%2e/x", "/admin/%2E./x", "/admin/../x", "/admin/./x", "/admin/..", "/admin/.", "/admin/..?a",
                "/orders/..%2fadmin/", "/orders%2Fadmin", "/orders/..%5cadmin", "/x\\..\\admin/", "//admin/",
                "/orders//admin/", "/x/..;/admin/", "/admin;/x", "/admin;a=b/x", "/x;a/",
                "/../admin/", "/a/../admin/?x=1",
            ] {
                let caller = try await RawCaller.connect(port: nginx.port)
                caller.send("GET \(path) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
                #expect(await caller.answers(1).map(\.status) == [400], "\(path)")
                await caller.close()
            }
            #expect(service.seen.count == before)
            for path in ["/admin/x.y/.well-known/..a/b.?next=/../%2e%2f//", "/admin/a%20b%25", "/x/...", "/?a;b"] {
                #expect(try await nginx.send(path, token).status == 200, "\(path)")
                #expect(service.seen.last?.target == path)
            }
        }
    }

    @Test func `Revoked in the middle, it is refused within a second`() async throws {
        let dev = try SharedDev.dev
        let user = try await Self.clerk(dev, "eve")
        try await Self.run(of: dev) { nginx, _, _ async throws in
            #expect(try await nginx.send("/orders/", user["access_token"]).status == 200)
            let other = try await dev.site.refresh(user["refresh_token"])
            #expect(try await dev.site.revoke(other["refresh_token"]).status == 200)
            let revoked = ContinuousClock.now
            var statuses: [Int] = []
            let isRefused = try await becomesTrue(within: .seconds(5)) {
                try await nginx.send("/orders/", user["access_token"]).status == 401
            }
            let delay = ContinuousClock.now - revoked
            #expect(isRefused && delay < .seconds(1), "\(delay)")
            for _ in 0..<20 { statuses.append(try await nginx.send("/orders/", other["access_token"]).status) }
            #expect(statuses.allSatisfy { $0 == 401 })
            print("revoked, then refused behind nginx: \(delay)")
        }
    }

    @Test func `Without the guard nothing passes`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("fay")["access_token"]
        try await Self.run(of: dev) { nginx, it, service async throws in
            #expect(try await nginx.send("/", token).status == 200)
            let before = service.seen.count
            it.process.send(SIGTERM)
            #expect(try await it.process.end(within: 20).exit == .code(0))
            for _ in 0..<3 { #expect(try await nginx.send("/", token).status == 500) }
            #expect(service.seen.count == before)
        }
    }

    @Test func `A guard that does not answer lets nothing pass, either`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("gus")["access_token"]
        try await Self.run(of: dev) { nginx, it, service async throws in
            #expect(try await nginx.send("/", token).status == 200)
            let before = service.seen.count
            it.process.send(SIGSTOP)
            #expect(try await nginx.send("/", token).status == 500)
            it.process.send(SIGCONT)
            #expect(service.seen.count == before)
            // Stale for a moment, for it has not heard its issuer meanwhile; it heals by itself.
            #expect(try await becomesTrue { try await nginx.send("/", token).status == 200 })
        }
    }
}

/// The same where the issuer goes away, and where tokens live for seconds.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Nginx.program)))
struct UnreachableIssuerTests {
    @Test func `Stale, a guard refuses with 503 or accepts, as it was told, and heals`() async throws {
        try await Dev.withFolder { folder async throws in
            try await Dev.run(in: folder) { dev async throws in
                let token = try await dev.site.newUser("ada")["access_token"]
                let revoked = try await dev.site.newUser("bob")["access_token"]
                #expect(try await dev.site.revoke(revoked).status == 200)
                try await NginxGuardTests.run(["--stale-after", "3"], of: dev) { nginx, it, service async throws in
                    try await GuardProcess.run(of: dev.site, ["--stale-after", "3", "--when-stale", "accept"]) {
                        other in
                        #expect(try await nginx.send("/", token).status == 200)
                        #expect(try await it.manage("/readyz").status == 200)
                        dev.process.send(SIGSTOP)
                        let isStale = try await becomesTrue(within: .seconds(10)) {
                            try await nginx.send("/", token).status == 503
                        }
                        #expect(isStale)
                        let before = service.seen.count
                        let answer = try await nginx.send("/", token)
                        #expect(answer.status == 503 && answer.headers["retry-after"] == ["1"])
                        #expect(service.seen.count == before)
                        #expect(try await it.manage("/readyz").status == 503)
                        #expect(try await it.manage("/livez").status == 200)
                        #expect(try await other.send("/check", token).status == 200)
                        #expect(try await other.manage("/readyz").status == 200)
                        #expect(try await other.send("/check", revoked).status == 401, "known to be revoked")
                        dev.process.send(SIGCONT)
                        #expect(
                            try await becomesTrue(within: .seconds(30)) {
                                try await nginx.send("/", token).status == 200
                            })
                        #expect(try await it.manage("/readyz").status == 200)
                    }
                }
            }
        }
    }

    @Test func `An expired token is refused`() async throws {
        try await Dev.withFolder { folder async throws in
            try await Dev.run(in: folder, environment: ["LATCHKEY_ACCESS_TOKEN_TTL": "4"]) { dev async throws in
                _ = try await dev.site.newUser("ada")
                try await NginxGuardTests.run(["--leeway", "0"], of: dev) { nginx, it, _ async throws in
                    let token = try await dev.site.logIn("ada")["access_token"]
                    #expect(try await nginx.send("/", token).status == 200)
                    #expect(try await becomesTrue { try await nginx.send("/", token).status == 401 })
                    #expect(try await it.metric("latchkey_verifier_tokens_rejected_total{reason=\"expired\"}") >= 1)
                }
            }
        }
    }

    @Test func `A guard that starts before its issuer answers 503, and serves once it is there`() async throws {
        try await Dev.withFolder { folder async throws in
            let site = Site(port: FreePort.next())
            let port = FreePort.next()
            let process = try await LatchkeyBinary.start([
                "guard", "--issuer", site.issuer, "--audience", site.issuer, "--port", "\(port)",
                "--management-port", "\(FreePort.next())",
            ])
            let check = "http://127.0.0.1:\(port)/check"
            #expect(
                await becomesTrue {
                    let answer = try? await TestNode.send(.GET, check, headers: [("Authorization", "Bearer a.b.c")])
                    return answer?.status == 503 && answer?.headers["retry-after"] == ["1"]
                })
            #expect(process.transcript.output == "")
            try await Dev.run(in: folder, port: site.port) { dev async throws in
                #expect(try await process.line(after: "ready: ") == "http://127.0.0.1:\(port)")
                let token = try await dev.site.newUser("ada")["access_token"]
                let answer = try await TestNode.send(.GET, check, headers: [("Authorization", "Bearer \(token)")])
                #expect(answer.status == 200)
            }
            process.send(SIGKILL)
            try await process.end()
        }
    }
}
