import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JOSE
import LatchkeyHummingbird
import LatchkeyTesting
import Testing

@testable import LatchkeyVerifier

@Suite struct BearerMiddlewares {
    private static func router(_ verifier: Verifier) -> Router<BearerContext> {
        let router = Router(context: BearerContext.self)
        router.group("any").add(middleware: BearerMiddleware(verifier)).get("/") { _, context in
            context.accessToken?.subject ?? "nobody"
        }
        router.group("admin").add(middleware: BearerMiddleware(verifier, scopes: ["account"], roles: ["admin"]))
            .get("/") { _, _ in "in" }
        router.group("lacking").add(middleware: BearerMiddleware(verifier, scopes: ["account", "orders:write"]))
            .get("/") { _, _ in "in" }
        router.group("role").add(middleware: BearerMiddleware(verifier, roles: ["admin", "ow\"ner"])).get("/") { _, _ in
            "in"
        }
        return router
    }

    @Test func `a request is answered 200, 400, 401, 403 or 503, as RFC 6750 has it`() async throws {
        let clocks = MovedClocks()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, clocks: clocks.clocks) { verifier in
                let token = try it.token()
                let revoked = try it.token()
                try await verifier.waitUntilApplied(it.revoke(revoked.tokenID), within: .seconds(10))
                try await Application(router: Self.router(verifier)).test(.router) { client async throws in
                    func answer(
                        _ path: String, _ authorization: String?
                    ) async throws -> (Int, String?, String?, String) {
                        let headers: HTTPFields = authorization.map { [.authorization: $0] } ?? [:]
                        return try await client.execute(uri: path, method: .get, headers: headers) { response in
                            (
                                response.status.code, response.headers[.wwwAuthenticate], response.headers[.retryAfter],
                                String(buffer: response.body)
                            )
                        }
                    }
                    #expect(try await answer("/any", "Bearer \(token.text)") == (200, nil, nil, "u1"))
                    #expect(try await answer("/any", "bEARER   \(token.text)") == (200, nil, nil, "u1"))
                    #expect(try await answer("/admin", "Bearer \(token.text)") == (200, nil, nil, "in"))
                    #expect(try await answer("/any", nil) == (401, "Bearer", nil, ""))
                    #expect(try await answer("/any", "Basic \(token.text)") == (401, "Bearer", nil, ""))
                    #expect(
                        try await answer("/any", "Bearer a b") == (400, "Bearer error=\"invalid_request\"", nil, ""))
                    for bad in ["Bearer \(revoked.text)", "Bearer x", "Bearer \(token.text)x"] {
                        #expect(try await answer("/any", bad) == (401, "Bearer error=\"invalid_token\"", nil, ""))
                    }
                    #expect(
                        try await answer("/lacking", "Bearer \(token.text)")
                            == (403, "Bearer error=\"insufficient_scope\", scope=\"orders:write\"", nil, ""))
                    #expect(
                        try await answer("/role", "Bearer \(token.text)") == (
                            403,
                            "Bearer error=\"insufficient_scope\", error_description=\"The role owner is missing.\"",
                            nil,
                            ""
                        ))
                    it.tamper(.cut)
                    clocks.advance(.seconds(60))
                    #expect(try await answer("/any", "Bearer \(token.text)") == (503, nil, "1", ""))
                    #expect(
                        try await answer("/any", "Bearer \(revoked.text)")
                            == (401, "Bearer error=\"invalid_token\"", nil, ""))
                }
            }
        }
    }
}
