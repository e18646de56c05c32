import Foundation
import LatchkeyTesting
import NIOHTTP1
import Testing

/// The check as Envoy's `ext_authz` asks over HTTP: with the request's own method, path and query, and without a body.
@Suite(.sharedDev) struct EnvoyGuardTests {
    @Test(arguments: [HTTPMethod.GET, .POST, .PUT, .DELETE, .PATCH, .OPTIONS])
    func `Any method and path are judged by the token alone, and answered with the identity`(method: HTTPMethod)
        async throws
    {
        let dev = try SharedDev.dev
        let user = try await dev.site.newUser("ada-\(method.rawValue.lowercased())")
        let token = user["access_token"]
        try await GuardProcess.run(of: dev.site) { it async throws in
            for path in ["/envoy/", "/envoy/orders/1?scope=none&role=none&x=%20", "/envoy//a/../check?scope=none"] {
                let answer = try await it.send(path, token, method: method, headers: [("Content-Length", "0")])
                #expect(answer.status == 200, "\(path)")
                #expect(answer.headers["x-auth-session"] == [user["session_id"]])
                #expect(answer.headers["x-auth-scope"] == ["account"])
                #expect(answer.body == [])
                // Envoy replaces what is in the answer, and takes out what stands here.
                #expect(answer.headers["x-envoy-auth-headers-to-remove"] == ["X-Auth-Roles,Authorization"])
            }
            let none = try await it.send("/envoy/", method: method)
            #expect(none.status == 401 && none.headers["www-authenticate"] == ["Bearer"])
        }
    }

    @Test func `What is needed stands in fields, which can only ask for more`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("bob")["access_token"]
        try await GuardProcess.run(of: dev.site, ["--scope", "account"]) { it async throws in
            #expect(try await it.send("/envoy/x", token, headers: [("X-Guard-Scope", "account")]).status == 200)
            for field in [("X-Guard-Scope", "account orders:read"), ("X-Guard-Role", "admin")] {
                let answer = try await it.send("/envoy/x", token, headers: [field])
                #expect(answer.status == 403)
                #expect(answer.headers["www-authenticate"].joined().contains("insufficient_scope"))
            }
            let twice = [("X-Guard-Scope", "orders:read"), ("X-Guard-Scope", "account")]
            #expect(try await it.send("/envoy/x", token, headers: twice).status == 403)
            // A fault of the configuration's admits nothing.
            for field in [("X-Guard-Scopes", "account"), ("X-Guard-Scope", ""), ("X-Guard-Role", "\"")] {
                let answer = try await it.send("/envoy/x", token, headers: [field])
                #expect(answer.status == 400 && answer["code"] == "unclear-requirement", "\(field)")
            }
        }
    }

    @Test(arguments: [
        "/", "/chek?scope=orders:read", "/check/", "/Check", "/check/../check", "/envoy", "/envoyx/", "/livez",
        "/readyz", "/metrics", "//check",
    ])
    func `Any other path is no check, whatever the token`(path: String) async throws {
        let dev = try SharedDev.dev
        try await GuardProcess.run(of: dev.site) { it async throws in
            let answer = try await it.send(path, try await dev.administrator())
            #expect(answer.status == 404 && answer["code"] == "no-such-check")
            #expect(answer.headers["x-auth-subject"] == [])
        }
    }

    @Test func `A query of the check's that is misspelt is refused, rather than taken for none`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.administrator()
        try await GuardProcess.run(of: dev.site) { it async throws in
            #expect(try await it.send("/check?scope=account&role=admin", token).status == 200)
            #expect(try await it.send("/check?scope=account&role=none", token).status == 403)
            for query in ["scopes=account", "scope=", "scope", "role=admin&x"] {
                let answer = try await it.send("/check?\(query)", token)
                #expect(answer.status == 400 && answer["code"] == "unclear-requirement", "\(query)")
            }
        }
    }

    @Test func `An identity of the caller's own in a spelling that no proxy replaces is refused`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.administrator()
        try await GuardProcess.run(of: dev.site) { it async throws in
            for path in ["/envoy/x", "/check"] {
                for name in ["X.Auth.Roles", "x~auth!subject", "X_AUTH_ROLES", "X-Auth-Token.Id"] {
                    let answer = try await it.send(path, token, headers: [(name, "admin")])
                    #expect(answer.status == 400 && answer["code"] == "malformed-request", "\(name)")
                }
                // What is spelled as ours is replaced.
                let fields = [("X-Auth-Roles", "root"), ("x-auth-subject", "root"), ("X-Authority", "1")]
                #expect(try await it.send(path, token, headers: fields).status == 200)
            }
        }
    }

    @Test func `With Authorization passed on, Envoy is not told to take it out`() async throws {
        let dev = try SharedDev.dev
        try await GuardProcess.run(of: dev.site, environment: ["LATCHKEY_GUARD_AUTHORIZATION": "pass"]) {
            it async throws in
            let answer = try await it.send("/envoy/", try await dev.site.newUser("carl")["access_token"])
            #expect(answer.headers["x-envoy-auth-headers-to-remove"] == ["X-Auth-Roles"])
            let admin = try await it.send("/envoy/", try await dev.administrator())
            #expect(admin.status == 200 && !admin.headers.contains(name: "x-envoy-auth-headers-to-remove"))
        }
    }

    @Test func `Requests are read strictly`() async throws {
        let dev = try SharedDev.dev
        let token = try await dev.site.newUser("dora")["access_token"]
        try await GuardProcess.run(of: dev.site) { it async throws in
            let head = "GET /check HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n"
            for (bytes, status) in [
                (head + "\r\n", 200), (head + "Authorization: Bearer \(token)\r\n\r\n", 401),
                (head + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                (head + "X-A: b\n\r\n", 400), (head + "X-A : b\r\n\r\n", 400), (head + "Host: b\r\n\r\n", 400),
                ("GET *timeout HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("BREW /check HTTP/1.1\r\nHost: a\r\n\r\n", 501),
                (head + "X-A: \(String(repeating: "a", count: 20_000))\r\n\r\n", 431),
                (head + "Content-Length: 2000000\r\n\r\n", 413),
            ] {
                let caller = try await RawCaller.connect(port: it.port)
                caller.send(bytes)
                #expect(await caller.answers(1).map(\.status) == [status], "\(bytes.suffix(80))")
                await caller.close()
            }
        }
    }
}
