import JOSE
import LatchkeyTesting
import LatchkeyVerifier
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

extension TestInstallation {
    /// Lets the schedule make the keys that are due, and moves them through their lead until one of `algorithm` signs.
    func ripen(_ algorithm: SignatureAlgorithm) async throws -> Bool {
        try await becomesTrue(within: .seconds(60)) {
            try await node.installation.signingKeys.carryOutDue(origin: Origin(actor: "test"))
            try await database.batch([
                """
                UPDATE signing_keys
                SET created_at = created_at - interval '1 day', published_at = published_at - interval '1 day'
                WHERE algorithm = \(algorithm.rawValue) AND published_at IS NOT NULL AND activates_at IS NULL
                """,
                "UPDATE key_ring SET version = version + 1",
            ])
            let count: Int64 = try await database.query(
                """
                SELECT count(*) AS count FROM signing_keys
                WHERE algorithm = \(algorithm.rawValue) AND activates_at <= clock_timestamp()
                """
            ).one().decode("count")
            return count == 1
        }
    }
}

extension TestNode {
    /// The `alg` of a token's header.
    func algorithm(of token: String) throws -> String? {
        let header = try #require(token.split(separator: ".").first)
        return try JSONValue.parse(try #require(Base64URL.decode(header.utf8))).object?["alg"]?.string
    }
}

@Suite("A client's algorithm")
struct ClientAlgorithmTests {
    private func client(
        _ node: TestNode, _ administrator: String, algorithm: String?
    ) async throws -> (client: RegisteredClient, shown: JSONObject) {
        let answer = try await node.post(
            "/admin/clients",
            .object(
                JSONObject([
                    ("client_name", "a service"), ("scope", "users:read"),
                    ("access_token_signed_response_alg", algorithm.map { .string($0) }),
                ])), bearer: administrator)
        return (try RegisteredClient(answer), answer.json)
    }

    @Test(
        "signs its tokens once a key of it may; until then the installation's does",
        arguments: SignatureAlgorithm.allCases.filter { $0 != .rs256 })
    func own(algorithm: SignatureAlgorithm) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await it.node.administrator()
            let (client, shown) = try await client(it.node, administrator, algorithm: algorithm.rawValue)
            #expect(shown["access_token_signed_response_alg"]?.string == algorithm.rawValue)
            // No key of it is there: nothing is refused.
            for node in it.nodes {
                let token = try await client.token(node)["access_token"]
                #expect(try node.algorithm(of: token) == "RS256")
                #expect(try await node.takes(token))
            }
            #expect(try await it.ripen(algorithm))
            for node in it.nodes {
                let token = try await client.token(node)["access_token"]
                #expect(try node.algorithm(of: token) == algorithm.rawValue)
                // What signs it stands in the JWKS of every node, and each node takes the token.
                for node in it.nodes {
                    #expect(try await becomesTrue { try await node.takes(token) })
                    let jwks = try await node.get("/.well-known/jwks.json")
                    let keys = VerificationKeys(try JSONWebKeySet(parsing: jwks.body).keys)
                    #expect(throws: Never.self) { try TokenVerifier.authenticate(Array(token.utf8), keys: keys) }
                }
                // Others have theirs still.
                let user = try await node.logIn("root")
                #expect(try node.algorithm(of: user["access_token"]) == "RS256")
            }
            // The set is mixed, each key with its own algorithm.
            let jwks = try await it.node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
            let named = jwks.compactMap { $0.object?["alg"]?.string }
            #expect(named.filter { $0 == "RS256" }.count >= 3)
            #expect(named.filter { $0 == algorithm.rawValue }.count >= 3)
        }
    }

    @Test("is changed, and taken back, without ending a token")
    func changed() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let (client, shown) = try await client(it.node, administrator, algorithm: nil)
            #expect(shown["access_token_signed_response_alg"] == nil)
            let held = try await client.token(it.node)["access_token"]
            let path = "/admin/clients/\(client.id)"
            for (asked, told) in [("ES256", "ES256"), ("EdDSA", "EdDSA"), ("default", nil)] as [(String, String?)] {
                let answer = try await it.node.patch(
                    path, ["access_token_signed_response_alg": .string(asked)], bearer: administrator)
                #expect(answer.status == 200)
                #expect(answer.json["access_token_signed_response_alg"]?.string == told)
                // What is not named stays.
                let named = try await it.node.patch(path, ["client_name": "b"], bearer: administrator)
                #expect(named.json["access_token_signed_response_alg"]?.string == told)
                let used = try await it.node.installation.clients.algorithms()
                #expect(used.map(\.rawValue) == (told.map { [$0] } ?? []))
            }
            #expect(try await it.node.takes(held))
        }
    }

    @Test("is one of ours, spelled as registered")
    func refused() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            for wrong in [
                "", "none", "HS256", "RS384", "rs256", "es256", "Ed25519", "ES256 ", "Default", "RS256\u{301}",
            ] {
                let answer = try await it.node.post(
                    "/admin/clients",
                    ["client_name": "x", "access_token_signed_response_alg": .string(wrong)], bearer: administrator)
                #expect(answer.status == 422, "\(wrong)")
                #expect(answer["field"] == "access_token_signed_response_alg", "\(wrong)")
            }
            let number = try await it.node.post(
                "/admin/clients", ["client_name": "x", "access_token_signed_response_alg": 1], bearer: administrator)
            #expect(number["code"] == "wrong-type")
            // Not even past Latchkey.
            let client = try await it.node.newClient(administrator)
            await #expect(throws: PostgresError.self) {
                try await it.database.query("UPDATE clients SET access_token_alg = 'HS256' WHERE id = \(client.id)")
            }
        }
    }

    @Test("of a disabled client needs no keys")
    func disabled() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let (client, _) = try await client(it.node, administrator, algorithm: "ES256")
            let clients = it.node.installation.clients
            #expect(try await clients.algorithms() == [.es256])
            #expect(try await it.node.post("/admin/clients/\(client.id)/disable", bearer: administrator).status == 204)
            #expect(try await clients.algorithms() == [])
        }
    }

    @Test("of the installation is the setting's, from the first key on", arguments: SignatureAlgorithm.allCases)
    func installation(algorithm: SignatureAlgorithm) async throws {
        try await TestInstallation.run(settings: { $0.signingAlgorithm = algorithm }) { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try it.node.algorithm(of: tokens["access_token"]) == algorithm.rawValue)
            #expect(try await it.node.get("/account", bearer: tokens["access_token"]).status == 200)
            let refreshed = try await it.node.refresh(tokens["refresh_token"])
            #expect(try it.node.algorithm(of: refreshed["access_token"]) == algorithm.rawValue)
            let keys = try await it.node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
            #expect(keys.map { $0.object?["alg"]?.string } == [String?](repeating: algorithm.rawValue, count: 3))
            let document = try await it.node.get("/.well-known/oauth-authorization-server").json
            #expect(document["access_token_signing_alg_values_supported"]?.strings?.first == algorithm.rawValue)
        }
    }
}
