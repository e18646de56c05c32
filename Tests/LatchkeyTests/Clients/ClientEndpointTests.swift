import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("A client at the endpoints")
struct ClientEndpointTests {
    @Test("introspects, by basic and by post", arguments: ["client_secret_basic", "client_secret_post"])
    func introspects(method: String) async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator, method: method)
            let service = try await it.node.newClient(administrator, scope: "orders:read")
            let token = try await service.token(it.node)
            let answer = try await client.post(it.node, "/oauth2/introspect", [("token", token.access)])
            #expect(answer.status == 200)
            #expect(answer.header("cache-control") == "no-store")
            #expect(
                Set(answer.json.members.map(\.name)) == [
                    "active", "token_type", "iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "scope",
                ])
            #expect(answer.json["active"] == true)
            #expect(answer["sub"] == service.id)
            #expect(answer["client_id"] == service.id)
            #expect(answer["scope"] == "orders:read")
            // As a bearer with the scope reads it.
            let bearer = try await it.node.form("/oauth2/introspect", [("token", token.access)], bearer: administrator)
            #expect(bearer.body == answer.body)

            let alice = try await it.node.newUser("alice")
            for text in [alice.access, alice.refresh] {
                let answer = try await client.post(it.node, "/oauth2/introspect", [("token", text)])
                #expect(answer.json["active"] == true)
                #expect(answer["sub"] == (try alice.userID))
            }
            _ = try await ClientEnding.disable.perform(service, administrator, on: it.node)
            let dead = try await client.post(it.node, "/oauth2/introspect", [("token", token.access)])
            #expect(dead.body == Array(#"{"active":false}"#.utf8))
        }
    }

    @Test("introspects nothing without authentication, nor with two of them")
    func introspectionRefused() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator)
            let open = try await it.node.newClient(administrator, method: "none", grants: ["refresh_token"])
            let token = try await client.token(it.node).access
            let path = "/oauth2/introspect"
            for form in [[("token", token)], [("token", token), ("client_id", open.id)]] {
                let answer = try await it.node.form(path, form)
                #expect(answer.status == 401)
                #expect(answer.header("www-authenticate") == #"Bearer realm="latchkey""#)
                #expect(answer.json["active"] == nil)
            }
            it.expectRefused(try await client.post(it.node, path, []), 400, "invalid_request")
            it.expectRefused(
                try await it.node.send(
                    form: [("token", token), ("client_id", client.id), ("client_secret", client.secret)], to: path,
                    headers: [client.basic]), 400, "invalid_request")
            for headers in [
                [client.basic, ("authorization", "Bearer \(administrator)")],
                [("authorization", "Bearer \(administrator)"), client.basic],
            ] {
                let answer = try await it.node.send(form: [("token", token)], to: path, headers: headers)
                #expect(answer.status == 400)
                #expect(answer.json["active"] == nil)
            }
            // A client's own token is a bearer like any other: it wants the scope.
            let powerless = try await it.node.form(path, [("token", token)], bearer: token)
            #expect(powerless.status == 403)
            let reader = try await it.node.newClient(administrator, scope: "introspect").token(it.node)
            #expect(try await it.node.form(path, [("token", token)], bearer: reader.access).json["active"] == true)
        }
    }

    @Test("revokes what was issued to it, and nothing else (RFC 7009 §2.1)")
    func revokes() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator, scope: "users:read")
            let other = try await it.node.newClient(administrator, scope: "users:read")
            let (mine, kept) = (try await client.token(it.node), try await client.token(it.node))
            let theirs = try await other.token(it.node)
            let alice = try await it.node.newUser("alice")
            let bob = try await it.node.newUser("bob")
            try await it.database.query("UPDATE sessions SET client_id = \(other.id) WHERE sid = \(try bob.sid)")
            let path = "/oauth2/revoke"

            for text in [theirs.access, alice.access, alice.refresh, bob.refresh] {
                it.expectRefused(try await client.post(it.node, path, [("token", text)]), 400, "invalid_grant")
            }
            // Who names no client is the first party, and revokes that one's tokens alone.
            for text in [mine.access, theirs.access, bob.refresh] {
                it.expectRefused(try await it.node.revoke(text), 400, "invalid_grant")
            }
            #expect(try await it.listed() == 0)
            #expect(try await it.node.admits(alice))
            #expect(try await it.row(bob).isLive)

            let answer = try await client.post(it.node, path, [("token", mine.access)])
            #expect(answer.status == 200)
            #expect(answer.header("latchkey-position") != nil)
            #expect(try await it.node.takes(mine.access) == false)
            #expect(
                try await becomesTrue(within: .seconds(2)) { try await it.nodes[1].takes(mine.access) == false })
            for node in it.nodes { #expect(try await node.takes(kept.access)) }
            let actor: String = try await it.database.query(
                "SELECT actor FROM audit_events WHERE target = \("token:\(try mine.tokenID.text)")"
            ).one().decode("actor")
            #expect(actor == "client:\(client.id)")

            #expect(try await other.post(it.node, path, [("token", bob.refresh)]).status == 200)
            #expect(try await it.row(bob).cause == "revoked")
            // Again, and by another: it is that client's still.
            #expect(try await other.post(it.node, path, [("token", bob.refresh)]).status == 200)
            it.expectRefused(try await client.post(it.node, path, [("token", bob.refresh)]), 400, "invalid_grant")
            #expect(try await it.node.revoke(alice.refresh).status == 200)
            // An administrator revokes anybody's.
            let revoked = try await it.node.post(
                "/admin/revocations", ["token": .string(theirs.access), "reason": "x"], bearer: administrator)
            #expect(revoked.status == 204)
            #expect(try await it.node.takes(theirs.access) == false)
        }
    }

    @Test("refreshes its own sessions by its own method, and no other's")
    func refreshes() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            for method in ["none", "client_secret_basic"] {
                let client = try await it.node.newClient(administrator, method: method, grants: ["refresh_token"])
                let stranger = try await it.node.newClient(administrator, grants: ["refresh_token"])
                let born = try await it.node.newUser("u\(client.method)".replacing("_", with: "-"))
                let form = [("grant_type", "refresh_token"), ("refresh_token", born.refresh)]
                let row = try await it.row(born)
                // The first party's.
                it.expectInvalidGrant(try await client.post(it.node, "/oauth2/token", form))
                try await it.database.query(
                    "UPDATE sessions SET client_id = \(client.id) WHERE sid = \(try born.sid)")
                // And now not the first party's any more, nor the other client's.
                it.expectInvalidGrant(try await it.node.refresh(born.refresh))
                it.expectInvalidGrant(try await stranger.post(it.node, "/oauth2/token", form))
                #expect(try await it.row(born) == row)

                let next = try await client.post(it.node, "/oauth2/token", form)
                #expect(next.status == 200)
                #expect(try next.claims["client_id"]?.string == client.id)
                _ = try await ClientEnding.disable.perform(client, administrator, on: it.node)
                #expect(try await it.node.admits(next) == false)
                it.expectRefused(
                    try await client.post(
                        it.node, "/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", next.refresh)]),
                    401, "invalid_client")
            }
        }
    }
}
