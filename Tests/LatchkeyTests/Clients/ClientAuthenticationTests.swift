import Foundation
import HTTPTypes
import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("A client's authentication")
struct ClientAuthenticationTests {
    private static func claim(_ form: String, _ authorization: String...) throws -> ClaimedClient? {
        var headers = HTTPFields()
        for value in authorization { headers.append(HTTPField(name: .authorization, value: value)) }
        return try ClaimedClient(try FormBody(bytes: Array(form.utf8)), headers)
    }

    private static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

    static let claims: [(form: String, authorization: String?, id: String, secret: String?, method: String)] = [
        ("client_id=app", nil, "app", nil, "none"),
        ("client_id=app&client_secret=", nil, "app", nil, "none"),
        ("client_id=app&client_secret=s%3A+%25", nil, "app", "s: %", "client_secret_post"),
        ("", "Basic " + base64("app:s"), "app", "s", "client_secret_basic"),
        ("", "bAsIc   " + base64("app:s"), "app", "s", "client_secret_basic"),
        ("client_id=app", "Basic " + base64("app:s"), "app", "s", "client_secret_basic"),
        // RFC 6749 §2.3.1: form-encoded before base64. The second is its own example, unencoded since it needs no encoding.
        ("", "Basic " + base64("a%3Ab+c:%25%2B%26%3D%C3%A9"), "a:b c", "%+&=é", "client_secret_basic"),
        (
            "", "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3", "s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw",
            "client_secret_basic"
        ),
        ("", "Basic " + base64("app:"), "app", "", "client_secret_basic"),
        ("", "Basic " + base64("app:a:b"), "app", "a:b", "client_secret_basic"),
    ]

    @Test("is read from the header or the form", arguments: claims.indices)
    func reads(index: Int) throws {
        let expected = Self.claims[index]
        let claim = try #require(
            try expected.authorization.map { try Self.claim(expected.form, $0) } ?? Self.claim(expected.form))
        #expect(claim.id == expected.id)
        #expect(claim.secret?.text == expected.secret)
        #expect(claim.method.rawValue == expected.method)
    }

    @Test("is none where the request says nothing")
    func none() throws {
        #expect(try Self.claim("grant_type=x&client_secret=") == nil)
    }

    static let twoMethods = Rejection.invalidRequest(
        description: "Authenticate the client by one method, not by two (RFC 6749 2.3).")

    static let refusals: [(form: String, authorization: [String], rejection: Rejection)] = [
        ("client_id=app&client_secret=s", ["Basic " + base64("app:s")], twoMethods),
        ("client_secret=s", ["Basic " + base64("app:s")], twoMethods),
        ("", ["Basic " + base64("app:s"), "Basic " + base64("app:s")], twoMethods),
        ("", ["Basic " + base64("app:s"), "Bearer x"], twoMethods),
        ("client_id=app&client_secret=s&client_assertion=x", [], twoMethods),
        (
            "client_id=other", ["Basic " + base64("app:s")],
            .invalidRequest(description: "The parameter client_id names another client than the header.")
        ),
        // U+037E is canonically the semicolon: another client for us.
        (
            "client_id=a%CD%BE", ["Basic " + base64("a%3B:s")],
            .invalidRequest(description: "The parameter client_id names another client than the header.")
        ),
        ("client_secret=s", [], .invalidClient),
        ("client_id=app&client_assertion=x&client_assertion_type=y", [], .invalidClient),
        ("", ["Bearer " + base64("app:s")], .invalidClient),
        ("", ["Digest username=\"app\""], .invalidClient),
        ("", ["Basic"], .invalidClient),
        ("", ["Basic "], .invalidClient),
        ("", ["Basic " + base64("app")], .invalidClient),
        ("", ["Basic " + base64("app:s") + "!"], .invalidClient),
        ("", ["Basic YXBwOnM"], .invalidClient),  // no padding
        ("", ["Basic YXBwOnR="], .invalidClient),  // bits left over in the tail
        ("", ["Basic " + base64("app:s") + " x"], .invalidClient),
        ("", ["Basic\u{301} " + base64("app:s")], .invalidClient),
        ("", ["Basic " + base64("app:%zz")], .invalidClient),
        ("", ["Basic " + base64("app:%00")], .invalidClient),
        ("", ["Basic " + base64("app:%C3")], .invalidClient),
        ("", ["Basic " + base64("app:a b")], .invalidClient),
        ("", ["Basic " + Data([0x61, 0x3A, 0xFF]).base64EncodedString()], .invalidClient),
    ]

    @Test("is refused where it is two, or none that we read", arguments: refusals.indices)
    func refuses(index: Int) throws {
        let (form, authorization, rejection) = Self.refusals[index]
        var headers = HTTPFields()
        for value in authorization { headers.append(HTTPField(name: .authorization, value: value)) }
        #expect(throws: rejection) { try ClaimedClient(try FormBody(bytes: Array(form.utf8)), headers) }
    }

    /// Every endpoint that takes clients, with a form that is good but for the client.
    static let endpoints: [(path: String, form: [(String, String)])] = [
        ("/oauth2/token", [("grant_type", "client_credentials")]),
        ("/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", "x")]),
        ("/oauth2/revoke", [("token", "x")]), ("/oauth2/introspect", [("token", "x")]),
    ]

    @Test("that fails is answered in the same way, whatever is wrong, at every endpoint (RFC 6749 §5.2)")
    func sameAnswer() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let basic = try await it.node.newClient(administrator)
            let post = try await it.node.newClient(administrator, method: "client_secret_post")
            let disabled = try await it.node.newClient(administrator)
            let gone = try await it.node.post("/admin/clients/\(disabled.id)/disable", bearer: administrator)
            #expect(gone.status == 204)
            let open = try await it.node.newClient(administrator, method: "none", grants: ["refresh_token"])

            let failing: [(String, RegisteredClient)] = [
                ("a wrong secret", basic.with(secret: "lkcs_" + String(repeating: "A", count: 43))),
                ("an empty secret", basic.with(secret: "")),
                ("another client's secret", basic.with(secret: post.secret)),
                ("an unknown client", RegisteredClient(id: UUID().uuidString.lowercased(), secret: basic.secret)),
                (
                    "an id that none can have",
                    RegisteredClient(id: "ä" + String(repeating: "x", count: 9000), secret: "x")
                ),
                ("a disabled client", disabled),
                ("the post client by basic", RegisteredClient(id: post.id, secret: post.secret)),
                ("the basic client by post", .init(id: basic.id, secret: basic.secret, method: "client_secret_post")),
                ("a public client with a secret", .init(id: open.id, secret: basic.secret)),
                ("the built-in client with a secret", .init(id: "first-party", secret: basic.secret)),
                ("the secret's first 47 characters", basic.with(secret: String(basic.secret.dropLast()))),
                ("the secret in capitals", basic.with(secret: basic.secret.uppercased())),
            ]
            for endpoint in Self.endpoints {
                var bodies: Set<[UInt8]> = []
                for (name, client) in failing {
                    let answer = try await client.post(it.node, endpoint.path, endpoint.form)
                    it.expectRefused(answer, 401, "invalid_client", "\(endpoint.path) \(name)")
                    bodies.insert(answer.body)
                }
                #expect(bodies.count == 1, "\(endpoint.path)")
            }
            // And what is good is no such refusal.
            for client in [basic, post] {
                #expect(try await client.token(it.node).status == 200)
                #expect(try await client.post(it.node, "/oauth2/revoke", [("token", "x")]).status == 200)
                #expect(try await client.post(it.node, "/oauth2/introspect", [("token", "x")]).status == 200)
            }
        }
    }

    @Test("takes ids and secrets that need encoding, by either method")
    func encoding() async throws {
        try await TestInstallation.run { it in
            let keys = it.node.installation.clients.keys
            for (number, method) in ["client_secret_basic", "client_secret_post"].enumerated() {
                let client = RegisteredClient(id: "svc:%2F+&=\(number)~", secret: "s é:+%&=\u{1F511}", method: method)
                let hash = keys.hash(ClientSecret(presented: client.secret), for: client.id)
                try await it.database.query(
                    """
                    INSERT INTO clients (id, name, auth_method, grant_types, epoch, secret_hash, secret_key)
                    VALUES (\(client.id), 'strange', \(method), '{client_credentials}', gen_random_uuid(),
                            \(Bytes(hash.bytes)), \(hash.keyVersion))
                    """)
                let answer = try await client.token(it.node)
                #expect(answer.status == 200, "\(method)")
                #expect(try answer.claims["sub"]?.string == client.id)
                it.expectRefused(
                    try await client.with(secret: client.secret + " ").token(it.node), 401, "invalid_client")
            }
        }
    }

    @Test("under a master key that this node does not hold is 503, never invalid_client", .eachAnswerCounts)
    func unknownMasterKey() async throws {
        try await TestInstallation.run { it in
            let client = try await it.node.newClient(try await it.node.administrator())
            try await it.database.query("UPDATE clients SET secret_key = 7 WHERE id = \(client.id)")
            let answer = try await client.token(it.node)
            #expect(answer.status == 503)
            #expect(answer.header("retry-after") != nil)
        }
    }

    @Test("hashes a secret for its client, its key and itself alone")
    func hashes() throws {
        func key(_ byte: UInt8) -> HMACSHA256Key { HMACSHA256Key(.init([UInt8](repeating: byte, count: 32))) }
        let secret = ClientSecret.random()
        let hash = secret.hash(for: "a", under: key(1))
        #expect(hash.count == 32)
        #expect(secret.hash(for: "a", under: key(1)) == hash)
        #expect(secret.hash(for: "b", under: key(1)) != hash)
        #expect(secret.hash(for: "a", under: key(2)) != hash)
        #expect(ClientSecret.random().hash(for: "a", under: key(1)) != hash)
        #expect(secret.text.wholeMatch(of: /lkcs_[A-Za-z0-9_-]{43}/) != nil)
        #expect("\(secret)" == "****")
        #expect(String(reflecting: secret) == "****")
        var dumped = ""
        dump(["x": secret], to: &dumped)
        #expect(!dumped.contains(secret.text))
    }
}
