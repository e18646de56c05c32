import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("Introspection")
struct IntrospectionTests {
    private func introspect(_ it: TestInstallation, _ token: String, as bearer: String?) async throws -> TestNode.Answer
    {
        try await it.node.form("/oauth2/introspect", [("token", token)], bearer: bearer)
    }

    @Test("describes a living access token by its own claims")
    func accessToken() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let tokens = try await it.node.newUser("alice")
            let answer = try await introspect(it, tokens.access, as: administrator)
            #expect(answer.status == 200)
            #expect(answer.header("cache-control") == "no-store")
            let claims = try tokens.claims
            #expect(answer.json["active"] == true)
            #expect(answer.json["token_type"] == "Bearer")
            for name in ["iss", "sub", "client_id", "exp", "iat", "jti", "sid", "scope"] {
                #expect(answer.json[name] == claims[name], "\(name)")
                #expect(answer.json[name] != nil, "\(name)")
            }
            #expect(answer.json["roles"] == nil)
            let own = try await introspect(it, administrator, as: administrator)
            #expect(own.json["roles"] == ["admin"])
        }
    }

    @Test("describes a living refresh token, and changes nothing of it")
    func refreshToken() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let born = try await it.node.newUser("alice")
            let next = try await it.node.refresh(born.refresh)
            let row = try await it.row(born)
            // The newest, and the one before it, which a Repeat would still answer.
            for token in [next.refresh, born.refresh] {
                let answer = try await introspect(it, token, as: administrator)
                #expect(answer.json["active"] == true)
                #expect(answer["token_type"] == "refresh_token")
                #expect(answer["sub"] == (try born.userID))
                #expect(answer["sid"] == (try born.sid.text))
                #expect(answer["client_id"] == "first-party")
                #expect(answer.json["exp"]?.int == row.idleUntil.seconds)
                #expect(answer.json["iat"]?.int == row.issuedAt.seconds)
            }
            #expect(try await it.row(born) == row)
        }
    }

    @Test("says of what is not alive that it is not, and nothing else")
    func inactive() async throws {
        let theirs = try await TestInstallation.run { try await $0.node.newUser("alice") }
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let revoked = try await it.node.newUser("alice")
            let second = try await it.node.refresh(revoked.refresh)
            let void = try await it.node.newUser("bob")
            let voidSecond = try await it.node.refresh(void.refresh)
            _ = try await it.node.refresh(voidSecond.refresh)
            let before = try await it.row(void)
            _ = try await it.node.revoke(second.refresh)

            for text in [
                "nonsense", "lkr1.AAAA", theirs.access, theirs.refresh, revoked.access, revoked.refresh, second.access,
                second.refresh, void.refresh,
            ] {
                let answer = try await introspect(it, text, as: administrator)
                #expect(answer.status == 200)
                #expect(answer.body == Array(#"{"active":false}"#.utf8))
            }
            // Looking at a void token is not presenting it.
            #expect(try await it.row(void) == before)
        }
    }

    @Test("asks for a bearer, with the scope, and for a token")
    func refusals() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let tokens = try await it.node.newUser("alice")

            let anonymous = try await introspect(it, tokens.access, as: nil)
            #expect(anonymous.status == 401)
            #expect(anonymous["error"] == "invalid_request")
            #expect(anonymous.header("www-authenticate") == #"Bearer realm="latchkey""#)

            let forged = try await introspect(it, tokens.access, as: "\(tokens.access.dropLast(8))AAAAAAAA")
            #expect(forged.status == 401)
            #expect(forged["error"] == "invalid_token")

            let powerless = try await introspect(it, tokens.access, as: tokens.access)
            #expect(powerless.status == 403)
            #expect(powerless["error"] == "insufficient_scope")
            #expect(
                powerless.header("www-authenticate")?.contains(#"error="insufficient_scope", scope="introspect""#)
                    == true)

            let empty = try await it.node.form("/oauth2/introspect", [], bearer: administrator)
            #expect(empty.status == 400)
            #expect(empty["error"] == "invalid_request")
        }
    }
}
