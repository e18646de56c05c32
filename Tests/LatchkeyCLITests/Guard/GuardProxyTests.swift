import AsyncHTTPClient
import Foundation
import JOSE
import LatchkeyTesting
import NIOCore
import NIOHTTP1
import Testing

/// `latchkey guard --upstream`: a proxy that verifies first.
@Suite(.sharedDev) struct GuardProxyTests {
    /// Runs `body` with a guard before a service, and a user's token.
    private static func run(
        _ options: [String] = [], _ body: (GuardProcess, EchoService, String) async throws -> Void
    ) async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("user-\(UInt32.random(in: .min ... .max))")["access_token"]
        try await EchoService.run { service async throws in
            try await GuardProcess.run(of: dev.site, ["--upstream", "http://127.0.0.1:\(service.port)"] + options) {
                it async throws in try await body(it, service, token)
            }
        }
    }

    @Test func `Only what was verified reaches the service, with an identity that is not the caller's own`()
        async throws
    {
        try await Self.run { it, service, token async throws in
            for path in ["/", "/livez", "/metrics", "/check", "/envoy/", "/.well-known/x"] {
                #expect(try await it.send(path).status == 401)
                #expect(try await it.send(path, token + "x").status == 401)
            }
            #expect(service.seen.isEmpty)
            let answer = try await it.send(
                "/orders?scope=none", token,
                headers: [
                    ("X-Auth-Subject", "root"), ("X_Auth_Subject", "root"), ("X-Auth-Roles", "admin"),
                    ("Connection", "x-auth-session, x-hop"), ("X-Hop", "1"), ("Proxy-Authorization", "Basic YTpi"),
                    ("X-Forwarded-For", "10.1.2.3"), ("Cookie", "a=1; b=2"), ("X-Guard-Scope", "none"),
                ])
            #expect(answer.status == 200 && answer.body == Array("ok".utf8))
            let seen = try #require(service.seen.last)
            let me = try await SharedDev.dev.site.get("/account", bearer: token)
            #expect(seen["X-Auth-Subject"] == [me["id"]])
            #expect(seen["X-Auth-Client"] == ["first-party"])
            #expect(seen["X-Auth-Session"].count == 1)
            for name in ["X_Auth_Subject", "X-Auth-Roles", "X-Hop", "Proxy-Authorization", "Authorization"] {
                #expect(seen[name] == [], "\(name)")
            }
            #expect(seen["X-Forwarded-For"] == ["10.1.2.3, 127.0.0.1"])
            #expect(seen["Cookie"] == ["a=1; b=2"])
            #expect(seen["Host"] == ["127.0.0.1:\(it.port)"])
            #expect(seen["Via"] == ["1.1 latchkey-guard"])
        }
    }

    @Test func `Scopes and roles are asked for before the service is, and the token goes on only where it was said`()
        async throws
    {
        try await Self.run(["--scope", "account", "--authorization", "pass"]) { it, service, token async throws in
            #expect(try await it.send("/", token).status == 200)
            #expect(service.seen.last?["Authorization"] == ["Bearer \(token)"])
        }
        for options in [["--scope", "orders:read"], ["--role", "clerk"]] {
            try await Self.run(options) { it, service, token async throws in
                let answer = try await it.send("/", token, method: .POST, body: Array("x".utf8))
                #expect(answer.status == 403)
                #expect(answer.headers["www-authenticate"].joined().contains("insufficient_scope"))
                #expect(service.seen.isEmpty)
            }
        }
    }

    @Test func `Targets arrive as they were sent`() async throws {
        try await Self.run { it, service, token async throws in
            for target in [
                "/", "//", "/a//b/", "/a%2Fb", "/a/../b/./c", "/a;v=1/@:!$&'()*+,=~", "/?", "/?a=1&&b", "/?q=%20+%2B",
                "/a?x=/../y?z", "/%C3%A4?%FF", "/?a={b}|[c]",
            ] {
                let caller = try await RawCaller.connect(port: it.port)
                caller.send("GET \(target) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
                #expect(await caller.answers(1).map(\.status) == [200], "\(target)")
                await caller.close()
                let expected = target == "/?a={b}|[c]" ? "/?a=%7Bb%7D%7C%5Bc%5D" : target
                #expect(service.seen.last?.target == expected)
            }
            let before = service.seen.count
            for line in [
                "OPTIONS * HTTP/1.1", "TRACE / HTTP/1.1", "CONNECT a:80 HTTP/1.1", "GET /a#b HTTP/1.1",
                "GET /%0d%0a HTTP/1.1", "GET a HTTP/1.1", "GET ftp://a/ HTTP/1.1",
            ] {
                let caller = try await RawCaller.connect(port: it.port)
                caller.send("\(line)\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
                let status = await caller.answers(1).first?.status ?? 0
                #expect([400, 501].contains(status), "\(line) \(status)")
                await caller.close()
            }
            #expect(service.seen.count == before)
        }
    }

    @Test func `Bodies go both ways, of a known length and in pieces`() async throws {
        try await Self.run { it, service, token async throws in
            let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            #expect(try await it.send("/upload", token, method: .POST, body: body).status == 200)
            #expect(service.seen.last?.body == body && service.seen.last?.isWhole == true)
            #expect(service.seen.last?["content-length"] == ["3000000"])
            #expect(service.seen.last?["transfer-encoding"] == [])

            let caller = try await RawCaller.connect(port: it.port)
            caller.send(
                "PUT /chunks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
            #expect(await caller.answers(1).map(\.status) == [200])
            #expect(service.seen.last?.body == Array("hello world".utf8))
            #expect(service.seen.last?["transfer-encoding"] == ["chunked"])
            #expect(service.seen.last?["x-trailer"] == [])
            // The connection goes on.
            caller.send("GET /next HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
            #expect(await caller.answers(2).map(\.status) == [200, 200])
            await caller.close()

            let large = try await it.send("/large", token)
            #expect(large.status == 200 && large.body.count == 128 * 16_384)
            #expect(try await it.send("/nothing", token).status == 204)
            let head = try await it.send("/", token, method: .HEAD)
            #expect(head.status == 200 && head.headers["content-length"] == ["2"] && head.body == [])
        }
    }

    @Test func `Both streams run at the same time`() async throws {
        try await Self.run { it, service, token async throws in
            let caller = try await RawCaller.connect(port: it.port)
            let piece = String(repeating: "a", count: 20_000)
            let chunk = "4E20\r\n\(piece)\r\n"
            caller.send(
                "POST /stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + chunk)
            // What was sent comes back before the rest is sent.
            #expect(await becomesTrue { caller.received.count > 20_000 })
            for _ in 0..<20 { caller.send(chunk) }
            #expect(await becomesTrue { caller.received.count > 21 * 20_000 })
            caller.send("0\r\n\r\n")
            #expect(await becomesTrue { caller.received.suffix(5) == Array("0\r\n\r\n".utf8)[...] })
            #expect(service.seen.last?.isWhole == true)
            await caller.close()
        }
    }

    @Test func `A service that answers before it has read the body does no harm`() async throws {
        try await Self.run { it, service, token async throws in
            for _ in 0..<20 {
                let caller = try await RawCaller.connect(port: it.port)
                let head = "POST /early HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n"
                caller.send(head + "Content-Length: 400000\r\n\r\n" + String(repeating: "x", count: 100_000))
                #expect(await caller.answers(1).map(\.status) == [413])
                caller.send(String(repeating: "x", count: 300_000))
                caller.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
                // Either the connection goes on behind the body, or it ends.
                #expect(await becomesTrue { caller.answers.count == 2 || caller.isClosed })
                await caller.close()
            }
            #expect(it.process.transcript.exit == nil)
            #expect(try await it.send("/", token).status == 200)
        }
    }

    @Test(arguments: ["Content-Length: 60000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nEA60\r\n"])
    func `A body that is cut off is never whole to the service`(framing: String) async throws {
        try await Self.run { it, service, token async throws in
            for ending in [true, false] {
                let caller = try await RawCaller.connect(port: it.port)
                caller.send(
                    "POST /upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\(framing)"
                        + String(repeating: "x", count: 30_000))
                let count = ending ? 1 : 2
                #expect(await becomesTrue { service.seen.count == count && service.seen.last?.body.isEmpty == false })
                if ending {
                    caller.endSending()
                    _ = await caller.closes()
                }
                await caller.close()
            }
            #expect(try await it.send("/", token).status == 200)
            #expect(service.seen.map(\.isWhole) == [false, false, true])
        }
    }

    @Test func `Requests that two servers could read in two ways are refused`() async throws {
        try await Self.run { it, service, token async throws in
            let head = "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n"
            let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            for rest in [
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
                "Content-Length: 0\r\nContent-Length: \(smuggled.utf8.count)\r\n\r\n" + smuggled,
                "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled,
                "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled,
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled,
                "X: y\nContent-Length: \(smuggled.utf8.count)\r\n\r\n" + smuggled,
                "Content-Length: +\(smuggled.utf8.count)\r\n\r\n" + smuggled,
            ] {
                let caller = try await RawCaller.connect(port: it.port)
                caller.send(head + rest)
                #expect(await caller.closes())
                #expect(caller.answers.map(\.status) == [400], "\(rest.prefix(60))")
            }
            #expect(service.seen.isEmpty)
            // Behind a good one the next is its own, and needs a token of its own.
            let caller = try await RawCaller.connect(port: it.port)
            caller.send(head + "Content-Length: 2\r\n\r\nhi" + smuggled)
            #expect(await caller.answers(2).map(\.status) == [200, 401])
            #expect(service.seen.map(\.target) == ["/"])
        }
    }

    @Test func `A body beyond the limit is refused`() async throws {
        try await Self.run(["--body-limit", "100000"]) { it, service, token async throws in
            let ok = try await it.send("/", token, method: .POST, body: [UInt8](repeating: 1, count: 100_000))
            #expect(ok.status == 200)
            let head = "POST /big HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n"
            let caller = try await RawCaller.connect(port: it.port)
            caller.send(head + "Content-Length: 100001\r\n\r\n")
            #expect(await caller.answers(1).map(\.status) == [413])
            let chunked = try await RawCaller.connect(port: it.port)
            chunked.send(head + "Transfer-Encoding: chunked\r\n\r\n186A1\r\n" + String(repeating: "x", count: 100_001))
            _ = await chunked.closes()
            #expect(service.seen.allSatisfy { $0.target == "/" || !$0.isWhole })
            #expect(try await it.send("/", token).status == 200)
        }
    }

    @Test func `A service that is gone, hangs up or is silent is 502 or 504`() async throws {
        try await Self.run(["--upstream-timeout", "1"]) { it, service, token async throws in
            for method in [HTTPMethod.GET, .POST] {
                let body: [UInt8]? = method == .POST ? [UInt8](repeating: 1, count: 50_000) : nil
                let hungUp = try await it.send("/hang-up", token, method: method, body: body)
                #expect(hungUp.status == 502 && hungUp["code"] == "bad-gateway")
                let silent = try await it.send("/silent", token, method: method, body: body)
                #expect(silent.status == 504 && silent["code"] == "gateway-timeout")
            }
            // What asks is asked again once, what acts never is.
            #expect(service.seen.filter { $0.target == "/hang-up" }.map(\.method) == ["GET", "GET", "POST"])
            #expect(try await it.metric("latchkey_guard_upstream_total{outcome=\"timed_out\"}") == 2)
        }
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("gone")["access_token"]
        try await GuardProcess.run(of: dev.site, ["--upstream", "http://127.0.0.1:\(FreePort.next())"]) {
            it async throws in
            #expect(try await it.send("/", token).status == 502)
            let body = [UInt8](repeating: 1, count: 2_000_000)
            #expect(try await it.send("/", token, method: .POST, body: body).status == 502)
            #expect(try await it.send("/").status == 401)
        }
    }

    @Test(arguments: ["/cut", "/cut-chunks"])
    func `An answer that is cut off is not whole to the caller`(path: String) async throws {
        try await Self.run { it, _, token async throws in
            await #expect(throws: (any Error).self) { try await it.send(path, token) }
            #expect(try await it.send("/", token).status == 200)
        }
    }

    @Test func `Of an answer the fields of the connection stay behind`() async throws {
        try await Self.run { it, _, token async throws in
            let answer = try await it.send("/fields", token)
            for name in ["x-private", "keep-alive", "upgrade", "proxy-authenticate", "connection"] {
                #expect(answer.headers[name] == [], "\(name)")
            }
            #expect(answer.headers["x-public"] == ["1"])
            #expect(answer.headers["set-cookie"] == ["a=1", "b=2"])
        }
    }

    @Test func `Revoked in the middle, it reaches the service no more within a second`() async throws {
        try await Self.run { it, service, _ async throws in
            let site = try SharedDev.dev.site
            let user = try await site.newUser("ren")
            #expect(try await it.send("/", user["access_token"]).status == 200)
            #expect(try await site.revoke(user["refresh_token"]).status == 200)
            let revoked = ContinuousClock.now
            #expect(try await becomesTrue { try await it.send("/", user["access_token"]).status == 401 })
            #expect(ContinuousClock.now - revoked < .seconds(1))
            let before = service.seen.count
            for _ in 0..<20 { #expect(try await it.send("/", user["access_token"]).status == 401) }
            #expect(service.seen.count == before)
        }
    }
}
