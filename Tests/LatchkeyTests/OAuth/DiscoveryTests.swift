import JOSE
import Latchkey
import LatchkeyTesting
import Testing

@Suite("Discovery")
struct DiscoveryTests {
    static let paths = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]

    @Test("names what is there, and no more")
    func namesWhatIsThere() async throws {
        try await TestInstallation.withStatusLists { it in
            var documents: [JSONObject] = []
            for path in Self.paths {
                let answer = try await it.node.get(path)
                #expect(answer.status == 200)
                #expect(answer.header("content-type") == "application/json")
                #expect(answer.header("access-control-allow-origin") == "*")
                #expect(answer.header("cache-control")?.contains("max-age=") == true)
                documents.append(answer.json)
                let issuer = answer["issuer"]
                #expect(issuer == it.settings.issuer)
                for member in answer.json.members {
                    guard member.name.hasSuffix("_endpoint") || member.name.hasSuffix("_uri") else { continue }
                    let url = try #require(member.value.string)
                    try #require(url.hasPrefix(issuer + "/"))
                    // A path that is not there would be 404; one without the method, 405.
                    let path = String(url.dropFirst(issuer.count))
                    let status =
                        ["jwks_uri", "latchkey_revocations_endpoint", "status_list_aggregation_endpoint"]
                            .contains(member.name)
                        ? try await it.node.get(path).status : try await it.node.form(path, []).status
                    #expect([200, 400, 401].contains(status), "\(member.name) \(status)")
                }
            }
            #expect(documents[0] == documents[1])
            #expect(documents[0]["grant_types_supported"] == ["refresh_token", "client_credentials"])
            #expect(documents[0]["authorization_endpoint"] == nil)
        }
    }

    @Test("says of each grant type that it names that it is supported, and of no other")
    func grantTypes() async throws {
        try await TestInstallation.run { it in
            let document = try await it.node.get(Self.paths[0]).json
            let named = try #require(document["grant_types_supported"]?.strings)
            for grant in ["refresh_token", "client_credentials", "authorization_code", "password", "implicit"] {
                let answer = try await it.node.form("/oauth2/token", [("grant_type", grant)])
                #expect((answer["error"] != "unsupported_grant_type") == named.contains(grant), "\(grant)")
            }
        }
    }

    @Test("names the issuer that tokens carry, and the algorithm that signs them")
    func issuer() async throws {
        try await TestInstallation.run { it in
            let document = try await it.node.get(Self.paths[1]).json
            let tokens = try await it.node.newUser("alice")
            #expect(try tokens.claims["iss"] == document["issuer"])
            let header = try #require(tokens.access.split(separator: ".").first)
            let algorithm = try JSONValue.parse(try #require(Base64URL.decode(header.utf8))).object?["alg"]
            let named = try #require(document["access_token_signing_alg_values_supported"]?.strings)
            #expect(named == ["RS256", "PS256", "ES256", "EdDSA"])
            #expect(named.first == algorithm?.string)
        }
    }
}
