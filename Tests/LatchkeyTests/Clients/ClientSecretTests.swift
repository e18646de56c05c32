import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

@Suite("A client's secret")
struct ClientSecretTests {
    @Test("lives beside its successor for the time given, and no third does")
    func twoAlive() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let first = try await it.node.newClient(administrator)
            let path = "/admin/clients/\(first.id)"
            let answer = try await it.node.post("\(path)/secret", ["expire_old_after": 3600], bearer: administrator)
            let second = try RegisteredClient(answer)
            #expect(answer.header("cache-control") == "no-store")
            #expect(answer.json["client_secret_expires_at"]?.int == 0)
            #expect(answer["old_secret_until"].hasSuffix("Z"))
            #expect(second.secret != first.secret)
            for client in [first, second] { #expect(try await client.token(it.node).status == 200) }

            let third = try RegisteredClient(try await it.node.post("\(path)/secret", bearer: administrator))
            for client in [second, third] { #expect(try await client.token(it.node).status == 200) }
            it.expectRefused(try await first.token(it.node), 401, "invalid_client")

            // Its time passes.
            try await it.database.query(
                "UPDATE clients SET old_secret_until = clock_timestamp() WHERE id = \(first.id)")
            it.expectRefused(try await second.token(it.node), 401, "invalid_client")
            #expect(try await third.token(it.node).status == 200)
            #expect(try await it.node.get(path, bearer: administrator).json["old_secret_until"] == nil)
            #expect(try await it.audited("client.secret-rotated", "client:\(first.id)") == 2)
        }
    }

    @Test("is dropped at once with 0, and the one before it too")
    func dropped() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let first = try await it.node.newClient(administrator)
            let path = "/admin/clients/\(first.id)/secret"
            let second = try RegisteredClient(try await it.node.post(path, bearer: administrator))
            let third = try RegisteredClient(
                try await it.node.post(path, ["expire_old_after": 0], bearer: administrator))
            for client in [first, second] {
                it.expectRefused(try await client.token(it.node), 401, "invalid_client")
            }
            #expect(try await third.token(it.node).status == 200)
        }
    }

    static let refusals: [(body: JSONValue, status: Int, code: String)] = [
        (["expire_old_after": -1], 422, "invalid-field"), (["expire_old_after": 2_592_001], 422, "invalid-field"),
        (["expire_old_after": "60"], 400, "wrong-type"), ([], 400, "bad-json"),
    ]

    @Test("is not rotated by a request that is none, nor where there is no secret")
    func refused() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator)
            for (body, status, code) in Self.refusals {
                let answer = try await it.node.post(
                    "/admin/clients/\(client.id)/secret", body, bearer: administrator)
                #expect(answer.status == status)
                #expect(answer["code"] == code)
            }
            let open = try await it.node.newClient(administrator, method: "none", grants: ["refresh_token"])
            for id in [open.id, "first-party"] {
                let answer = try await it.node.post("/admin/clients/\(id)/secret", bearer: administrator)
                #expect(answer.status == 409)
                #expect(answer["code"] == "public-client")
            }
            #expect(try await it.node.post("/admin/clients/nobody/secret", bearer: administrator).status == 404)
            #expect(try await client.token(it.node).status == 200)
        }
    }

    @Test("stands in the answer that makes it and nowhere else")
    func shownOnce() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(administrator)
            #expect(client.secret.hasPrefix("lkcs_"))
            for path in ["/admin/clients", "/admin/clients/\(client.id)", "/admin/audit"] {
                let answer = try await it.node.get(path, bearer: administrator)
                #expect(answer.status == 200)
                #expect(!String(decoding: answer.body, as: UTF8.self).contains("lkcs_"), "\(path)")
            }
            let bytes: Bytes = try await it.database.query(
                "SELECT convert_to(c::text, 'UTF8') AS text FROM clients c WHERE id = \(client.id)"
            ).one().decode("text")
            let row = String(decoding: bytes.bytes, as: UTF8.self)
            #expect(row.contains(client.id))
            #expect(!row.contains("lkcs_") && !row.contains(client.secret.dropFirst(5)))
        }
    }
}
