import JOSE
import LatchkeyTesting
import NIOHTTP1
import Testing

/// One call of a route that needs the database.
struct DegradedCall: Sendable {
    /// As the router spells it.
    let route: OpenAPIDocument.Operation
    let path: String
    var bearer: String?
    var json: JSONValue?
    var form: [(String, String)]?
    /// What it is answered by a node that is well, where the calls before it have been carried out.
    let success: Int

    func send(to node: TestNode) async throws -> TestNode.Answer {
        let headers = bearer.map { [("authorization", "Bearer \($0)")] } ?? []
        if let form { return try await node.send(form: form, to: path, headers: headers) }
        return try await node.send(
            .init(rawValue: route.method), path,
            headers: headers + (json == nil ? [] : [("content-type", "application/json")]), body: json?.encoded())
    }

    /// Routes that answer without the database.
    static let local = Set(
        [
            "/livez", "/readyz", "/.well-known/jwks.json", "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server", "/revocations", "/revocations/stream", "/status-lists",
            "/status-lists/{list}",
        ].map { OpenAPIDocument.Operation(method: "GET", path: $0) })

    /// A call of each other route, in an order in which each can be carried out.
    static func all(on node: TestNode) async throws -> [DegradedCall] {
        let admin = try await node.administrator()
        let alice = try await node.newUser("alice")
        let second = try await node.logIn("alice")
        let leaving = try await node.newUser("leaving")
        for name in ["one", "two", "three"] { try #require(try await node.newUser(name).status == 200) }
        let third = try await node.logIn("two")
        let reader: JSONValue = ["name": "reader", "scopes": ["a:b"]]
        try #require(try await node.post("/admin/roles", reader, bearer: admin).status == 201)
        let client = try await node.newClient(admin).id
        let keys = try await node.get("/admin/keys", bearer: admin).json["items"]?.array?.compactMap(\.object) ?? []
        let standby = try #require(keys.first { $0["state"]?.string == "published" }?["kid"]?.string)

        func call(
            _ method: String, _ route: String, _ names: [String] = [], by bearer: String? = nil,
            json: JSONValue? = nil, form: [(String, String)]? = nil, gets success: Int
        ) -> DegradedCall {
            var path = ""
            var rest = names[...]
            for part in route.split(separator: "/") {
                path += "/" + (part.first == "{" ? rest.popFirst() ?? "" : String(part))
            }
            return DegradedCall(
                route: .init(method: method, path: route), path: path, bearer: bearer, json: json, form: form,
                success: success)
        }
        let person: JSONValue = ["username": "bob", "password": "correct horse"]
        let owner: JSONValue = ["username": "alice", "password": "correct horse"]
        return try [
            call("POST", "/auth/register", json: person, gets: 201),
            call("POST", "/auth/login", json: owner, gets: 200),
            call("POST", "/auth/api", json: owner, gets: 200),
            call(
                "POST", "/oauth2/token", form: [("grant_type", "refresh_token"), ("refresh_token", alice.refresh)],
                gets: 200),
            call("POST", "/oauth2/introspect", by: admin, form: [("token", alice.refresh)], gets: 200),
            call("POST", "/oauth2/revoke", form: [("token", leaving.refresh)], gets: 200),
            call("GET", "/account", by: alice.access, gets: 200),
            call("GET", "/account/sessions", by: alice.access, gets: 200),
            call("DELETE", "/account/sessions/{sid}", [second.sid.text], by: alice.access, gets: 204),
            call(
                "POST", "/account/password", by: alice.access,
                json: ["current": "correct horse", "new": "battery staple"], gets: 204),
            call("POST", "/auth/logout", by: alice.access, gets: 204),

            call("GET", "/admin/users", by: admin, gets: 200),
            call("GET", "/admin/users/{user}", ["one"], by: admin, gets: 200),
            call("GET", "/admin/users/{user}/sessions", ["one"], by: admin, gets: 200),
            call("POST", "/admin/users", by: admin, json: ["username": "made"], gets: 201),
            call("GET", "/admin/sessions/{sid}", [third.sid.text], by: admin, gets: 200),
            call("DELETE", "/admin/sessions/{sid}", [third.sid.text], by: admin, gets: 204),
            call("GET", "/admin/revocations", by: admin, gets: 200),
            call("POST", "/admin/revocations", by: admin, json: ["user": "two", "reason": "a test"], gets: 204),
            call("POST", "/admin/users/{user}/disable", ["one"], by: admin, gets: 204),
            call("DELETE", "/admin/users/{user}", ["three"], by: admin, gets: 204),
            call("POST", "/admin/users/{user}/enable", ["one"], by: admin, gets: 204),
            call(
                "POST", "/admin/users/{user}/password", ["one"], by: admin, json: ["new": "battery staple"], gets: 204),
            call("GET", "/admin/roles", by: admin, gets: 200),
            call("POST", "/admin/roles", by: admin, json: ["name": "made", "scopes": ["a:b"]], gets: 201),
            call("PUT", "/admin/users/{user}/roles/{role}", ["one", "reader"], by: admin, gets: 204),
            call("DELETE", "/admin/users/{user}/roles/{role}", ["one", "reader"], by: admin, gets: 204),
            call("PUT", "/admin/roles/{role}", ["reader"], by: admin, json: ["scopes": ["c:d"]], gets: 204),
            call("DELETE", "/admin/roles/{role}", ["reader"], by: admin, gets: 204),

            call("GET", "/admin/clients", by: admin, gets: 200),
            call("GET", "/admin/clients/{client}", [client], by: admin, gets: 200),
            call("POST", "/admin/clients", by: admin, json: ["client_name": "made"], gets: 201),
            call("PATCH", "/admin/clients/{client}", [client], by: admin, json: ["client_name": "other"], gets: 200),
            call("POST", "/admin/clients/{client}/secret", [client], by: admin, gets: 200),
            call("POST", "/admin/clients/{client}/disable", [client], by: admin, gets: 204),
            call("POST", "/admin/clients/{client}/enable", [client], by: admin, gets: 204),

            call("GET", "/admin/keys", by: admin, gets: 200),
            call("GET", "/admin/keys/verifiers", by: admin, gets: 200),
            call(
                "POST", "/admin/keys/{kid}/compromise", [standby], by: admin,
                json: ["reason": "a test", "confirm": true], gets: 202
            ),
            call("POST", "/admin/keys/{kid}/restore", [standby], by: admin, gets: 200),
            call("POST", "/admin/keys/rotate", by: admin, gets: 202), call("GET", "/admin/audit", by: admin, gets: 200),
        ]
    }
}
