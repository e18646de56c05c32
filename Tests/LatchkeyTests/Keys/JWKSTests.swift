import JOSE
import LatchkeyTesting
import LatchkeyVerifier
import Logging
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

@Suite("The JWKS", .eachAnswerCounts)
struct JWKSTests {
    private static let path = "/.well-known/jwks.json"

    @Test("holds the signer and two standbys, public halves alone")
    func holdsThree() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let answer = try await it.node.get(Self.path)
            #expect(answer.status == 200)
            #expect(answer.header("content-type") == "application/json")
            #expect(answer.header("cache-control") == "public, max-age=\(it.settings.keys.maxAge)")
            #expect(answer.header("access-control-allow-origin") == "*")
            let keys = try #require(answer.json["keys"]?.array).map { try #require($0.object) }
            #expect(keys.count == 3)
            for key in keys {
                #expect(Set(key.members.map(\.name)) == ["kty", "n", "e", "kid", "use", "alg"])
                #expect(key["use"] == "sig")
                #expect(key["alg"] == "RS256")
                #expect(key["kid"]?.string == JSONWebKey.thumbprint(of: try JSONWebKey(.object(key)).publicKey))
            }
            let tokens = try await it.node.newUser("alice")
            let signer = try tokens.signer
            #expect(keys.contains { $0["kid"]?.string == signer })
            // Both nodes serve the same bytes under the same name.
            let other = try await it.nodes[1].get(Self.path)
            #expect(other.body == answer.body)
            #expect(other.header("etag") == answer.header("etag"))
        }
    }

    static let conditions: [(String, Bool)] = [
        ("ETAG", true), ("W/ETAG", true), ("*", true), (#""x", ETAG"#, true), (#""x",W/ETAG ,"y""#, true),
        (#""x""#, false), ("", false), (#"W/"x", "y""#, false), ("ETAGx", false),
    ]

    @Test("is conditional (RFC 9110 §13.1.2)")
    func conditional() async throws {
        try await TestInstallation.run { it in
            let etag = try #require(try await it.node.get(Self.path).header("etag"))
            for (pattern, matches) in Self.conditions {
                let field = pattern.replacing("ETAG", with: etag)
                for method in [HTTPMethod.GET, .HEAD] {
                    let answer = try await it.node.send(method, Self.path, headers: [("if-none-match", field)])
                    #expect(answer.status == (matches ? 304 : 200), "\(method) \(field)")
                    #expect(answer.body.isEmpty == (matches || method == .HEAD))
                    #expect(answer.header("etag") == etag)
                    #expect(answer.header("cache-control")?.contains("max-age") == true)
                    #expect(answer.header("access-control-allow-origin") == "*")
                }
            }
        }
    }

    @Test("has no other method")
    func methods() async throws {
        try await TestInstallation.run { it in
            let answer = try await it.node.send(.POST, Self.path)
            #expect(answer.status == 405)
            #expect(answer.header("allow") == "GET, HEAD, OPTIONS")
        }
    }

    /// The age that a ring may reach is the lead less what verifiers' caches and clocks take of it.
    @Test(
        "is not served from a ring that might lack a key which is about to sign",
        arguments: [(12, false), (13, false), (18, true), (45, true)] as [(Int64, Bool)])
    func age(lead: Int64, isServed: Bool) async throws {
        try await TestInstallation.run(settings: { $0.keys = KeyPolicy(publishLead: lead, maxAge: 10, leeway: 3) }) {
            it in
            let ring = KeyRing(
                it.database, pulse: it.database, masterKeys: it.node.installation.masterKeyRing,
                policy: it.settings.keys,
                clock: it.node.installation.clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            #expect(ring.jwks == nil)
            #expect(ring.verificationKeys == nil)
            let list = RevocationList(it.database, pulse: it.database, clock: NodeClock())
            await ring.follow(try await list.readAndClaim())
            #expect((ring.jwks != nil) == isServed)
            // Tokens are judged by it all the same.
            #expect(ring.verificationKeys != nil)
            if !isServed {
                let answer = try await it.node.get(Self.path)
                #expect(answer.status == 503)
                #expect(answer.header("retry-after") == "1")
                #expect(answer["code"] == "unavailable")
            }
        }
    }
}
