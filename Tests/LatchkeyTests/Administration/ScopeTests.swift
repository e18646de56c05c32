import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Testing

@Suite("The scopes of administration")
struct ScopeTests {
    /// Every route below /admin that the router has.
    static func routes() throws -> [OpenAPIDocument.Operation] {
        try OpenAPITests.routes().filter { $0.path.hasPrefix("/admin") }.sorted { $0.description < $1.description }
    }

    /// Paths that name nobody, bodies that ask for nothing.
    private func send(
        _ node: TestNode, _ operation: OpenAPIDocument.Operation, _ token: String?
    ) async throws -> TestNode.Answer {
        let path = operation.path.replacing("{sid}", with: "x").replacing("{user}", with: "no.body")
            .replacing("{role}", with: "nothing").replacing("{client}", with: "nobody")
            .replacing("{kid}", with: "nothing")
        let headers = token.map { [("authorization", "Bearer \($0)")] } ?? []
        return try await node.send(HTTPMethod(rawValue: operation.method), path, headers: headers)
    }

    @Test("are asked for at each route: 401 without a token, 403 without the scope, no more than that scope")
    func everyRoute() async throws {
        let routes = try Self.routes()
        try #require(routes.count >= 19)
        let document = try OpenAPIDocument()
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let all = try #require(
                try await it.node.get("/admin/roles", bearer: administrator).json["items"]?.array?
                    .first { $0.object?["name"] == "admin" }?.object?["scopes"]?.strings)
            let powerless = try await it.node.newUser("alice").access
            for route in routes {
                let scope = try #require(document.operations[route].flatMap { $0 }?.first, "\(route)")
                #expect(document.operations[route].flatMap { $0 }?.count == 1)

                let anonymous = try await send(it.node, route, nil)
                #expect(anonymous.status == 401, "\(route)")
                #expect(anonymous["code"] == "missing-token", "\(route)")

                // All the others are not enough.
                let others = try await it.node.post(
                    "/auth/login",
                    [
                        "username": "root", "password": "correct horse",
                        "scope": .string((["account"] + all.filter { $0 != scope }).joined(separator: " ")),
                    ])
                for token in [powerless, others.access] {
                    let refused = try await send(it.node, route, token)
                    #expect(refused.status == 403, "\(route)")
                    #expect(refused["code"] == "insufficient-scope", "\(route)")
                    #expect(refused["scope"] == scope, "\(route)")
                    #expect(
                        refused.header("www-authenticate")
                            == #"Bearer realm="latchkey", error="insufficient_scope", scope="\#(scope)""#, "\(route)")
                }

                // That one alone is.
                let enough = try await it.node.post(
                    "/auth/login", ["username": "root", "password": "correct horse", "scope": .string(scope)])
                let allowed = try await send(it.node, route, enough.access)
                #expect(![401, 403].contains(allowed.status), "\(route) \(allowed.status)")
                #expect(allowed.status < 500, "\(route) \(allowed.status)")
            }
        }
    }

    @Test("cannot be asked for by a login whose roles do not carry them")
    func notByAsking() async throws {
        try await TestInstallation.run { it in
            _ = try await it.node.newUser("alice")
            let answer = try await it.node.post(
                "/auth/login", ["username": "alice", "password": "correct horse", "scope": "account users:write"])
            #expect(answer["scope"] == "account")
            #expect(try await it.node.get("/admin/users", bearer: answer.access).status == 403)
        }
    }

    @Test("are no use in a token for another audience")
    func otherAudience() async throws {
        try await TestInstallation.run { it in
            _ = try await it.node.administrator()
            let answer = try await it.node.post(
                "/auth/login",
                ["username": "root", "password": "correct horse", "resource": "https://api.example"])
            #expect(answer.status == 200)
            #expect(try await it.node.get("/admin/users", bearer: answer.access).status == 401)
            #expect(try await it.node.get("/account", bearer: answer.access).status == 401)
        }
    }
}
