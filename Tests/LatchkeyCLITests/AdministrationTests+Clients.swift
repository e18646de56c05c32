import JOSE
import Testing

/// `latchkey clients …`, on the installation that the other commands are tested on.
extension AdministrationTests {
    private func token(_ id: String, _ secret: String, scope: String? = nil) async throws -> Site.Answer {
        try await dev.site.form(
            "/oauth2/token",
            [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)]
                + (scope.map { [("scope", $0)] } ?? []))
    }

    private func createClient(_ name: String, _ options: String...) async throws -> (id: String, secret: String) {
        let transcript = try await LatchkeyBinary.run(
            ["clients", "create", name, "--auth-method", "client_secret_post", "--json", "--data", dev.folder.path]
                + options)
        #expect(transcript.exit == .code(0), "\(transcript.errors)")
        let made = try #require(JSONValue.parse(Array(transcript.output.utf8)).object)
        return (try #require(made["client_id"]?.string), try #require(made["client_secret"]?.string))
    }

    /// The newest audit record of the client.
    private func auditOfClient(_ id: String) async throws -> JSONObject {
        let records = try await dev.json("audit", "--target", "client:\(id)", "--limit", "1")
        return try #require(records?.array?.first?.object)
    }

    @Test func `A client is made with a secret that is printed once, and gets tokens with it`() async throws {
        let (id, secret) = try await createClient("orders", "--scope", "users:read", "--scope", "orders:read")
        let answer = try await token(id, secret)
        #expect(answer.status == 200)
        #expect(answer["scope"] == "users:read orders:read")
        #expect(try await dev.site.get("/admin/users", bearer: answer["access_token"]).status == 200)
        let record = try await auditOfClient(id)
        #expect(record["action"]?.string == "client.created")
        #expect(record["actor"]?.string?.hasPrefix("cli:") == true)

        let shown = try await dev.command("clients", "show", id)
        #expect(shown.output.contains("client_name: orders\n"))
        let listed = try await dev.command("clients", "list")
        #expect(listed.outputLines.first?.hasPrefix("CLIENT_ID") == true)
        #expect(listed.outputLines.contains { $0.hasPrefix(id) && $0.hasSuffix("users:read orders:read") })
        #expect(listed.outputLines.contains { $0.hasPrefix("first-party") })
        for transcript in [shown, listed] { #expect(!transcript.output.contains("lkcs_")) }
    }

    @Test func `A rotated secret lives beside its successor, or is dropped at once with the client's tokens`()
        async throws
    {
        let (id, first) = try await createClient("rotated")
        let rotated = try await dev.json("clients", "rotate-secret", id, "--expire-old-after", "3600")?.object
        let second = try #require(rotated?["client_secret"]?.string)
        #expect(rotated?["old_secret_until"]?.string != nil)
        for secret in [first, second] { #expect(try await token(id, secret).status == 200) }
        let held = try await token(id, second)
        let dropped = try await dev.json("clients", "rotate-secret", id, "--expire-old-after", "0")?.object
        let third = try #require(dropped?["client_secret"]?.string)
        #expect(try await dev.site.refusesSoon(held["access_token"]))
        for secret in [first, second] { #expect(try await token(id, secret).status == 401) }
        #expect(try await token(id, third).status == 200)
        let late = try await dev.command("clients", "rotate-secret", id, "--expire-old-after", "2592001")
        #expect(late.refused("0 to 2592000"), "\(late)")
    }

    @Test func `A disabled client's token is refused, and it gets another one when it is enabled`() async throws {
        let (id, secret) = try await createClient("disabled")
        let held = try await token(id, secret)
        #expect(try await dev.site.account(held["access_token"]) == 403)
        let disabled = try await dev.command("clients", "disable", id, "--reason", "retired")
        #expect(disabled.exit == .code(0), "\(disabled.errors)")
        #expect(try await dev.site.refusesSoon(held["access_token"]))
        #expect(try await token(id, secret)["error"] == "invalid_client")
        let record = try await auditOfClient(id)
        #expect(record["action"]?.string == "client.disabled")
        #expect(record["detail"]?.object?["reason"]?.string == "retired")
        #expect(try await dev.command("clients", "enable", id).exit == .code(0))
        #expect(try await token(id, secret).status == 200)
        #expect(try await dev.site.account(held["access_token"]) == 401)
    }

    @Test func `A client that loses a scope loses its tokens, and revoking by client ends them too`() async throws {
        let (id, secret) = try await createClient("narrowed", "--scope", "a", "--scope", "b")
        let held = try await token(id, secret)
        let renamed = try await dev.json("clients", "update", id, "--name", "other", "--scope", "b", "--scope", "a")
        #expect(renamed?.object?["client_name"]?.string == "other")
        #expect(try await dev.site.account(held["access_token"]) == 403)
        _ = try await dev.json("clients", "update", id, "--no-scope")
        #expect(try await dev.site.refusesSoon(held["access_token"]))
        let next = try await token(id, secret)
        #expect(next.json["scope"] == nil)
        #expect(try await token(id, secret, scope: "a")["error"] == "invalid_scope")
        let revoked = try await dev.command("revoke", "--client", id, "--reason", "leaked")
        #expect(revoked.exit == .code(0), "\(revoked.errors)")
        #expect(try await dev.site.refusesSoon(next["access_token"]))
        #expect(try await token(id, secret).status == 200)
    }
}
