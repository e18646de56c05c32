import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("An imported key")
struct ImportedKeyTests {
    private static let origin = Origin(actor: "test")

    private func published(_ node: TestNode) async throws -> [String] {
        let keys = try await node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
        return keys.compactMap { $0.object?["kid"]?.string }
    }

    @Test("enters every node's JWKS, and signs only once it has stood there for the lead")
    func standby() async throws {
        let policy = KeyPolicy(publishLead: 3600, maxAge: 10, leeway: 3)
        try await TestInstallation.run(nodes: 2, settings: { $0.keys = policy }) { it in
            let key = try PrivateKey.generate(.rs256)
            let kid = JSONWebKey(key.publicKey).keyID
            let keys = it.node.installation.signingKeys
            #expect(try await keys.importKey(key, origin: Self.origin) == .imported(kid: kid))
            #expect(try await it.audited("key.imported", "key:\(kid)") == 1)
            for node in it.nodes {
                #expect(try await becomesTrue { try await published(node).contains(kid) })
            }
            @Sendable func state() async throws -> SigningKey? { try await keys.all().keys.first { $0.kid == kid } }
            #expect(try await becomesTrue { try await state()?.publishedAt != nil })
            let row = try #require(try await state())
            #expect(row.isStandby && !row.isFounding)
            #expect(row.ripeAt(lead: 3600).map { $0 > row.createdAt + 3599 } == true)
            // The founding standbys are ripe: they go first, and it has its turn after them.
            let administrator = try await it.node.administrator()
            var signers: [String] = []
            for _ in 0..<2 {
                let answer = try await it.node.post("/admin/keys/rotate", bearer: administrator)
                #expect(answer.status == 202)
                signers.append(answer["kid"])
                let from = try #require(signers.last)
                #expect(
                    try await becomesTrue {
                        guard let begins = try await keys.all().keys.first(where: { $0.kid == from })?.activatesAt,
                            let now = it.node.installation.clock.now()
                        else { return false }
                        // The carried clock may be a little ahead of the database's, by which the route decides.
                        return begins + 1 <= now
                    })
            }
            #expect(!signers.contains(kid))
            let early = try await it.node.post("/admin/keys/rotate", bearer: administrator)
            #expect(early["code"] == "no-ripe-standby")
            try await it.database.batch([
                """
                UPDATE signing_keys
                SET created_at = created_at - interval '1 day', published_at = published_at - interval '1 day'
                WHERE kid = \(kid)
                """,
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await it.node.post("/admin/keys/rotate", bearer: administrator)["kid"] == kid)
            #expect(try await becomesTrue { try await it.nodes[1].logIn("root").signer == kid })
            let token = try await it.node.logIn("root")["access_token"]
            for node in it.nodes { #expect(try await node.get("/account", bearer: token).status == 200) }
        }
    }

    @Test("is not taken before the first keys, which are made only where there are none")
    func beforeTheFirstKeys() async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let installation = Installation(
                it.settings, masterKeys: try it.settings.masterKeySource.load(), logger: MasterKeyScene.quiet)
            defer { installation.close() }
            let key = try PrivateKey.generate(.rs256)
            let keys = installation.signingKeys
            #expect(try await keys.importKey(key, origin: Self.origin) == .beforeTheFirstKeys)
            #expect(try await keys.all().keys.isEmpty)
            try await Node(installation).prepare()
            #expect(try await keys.all().keys.count == 3)
            #expect(
                try await keys.importKey(key, origin: Self.origin)
                    == .imported(kid: JSONWebKey(key.publicKey).keyID))
        }
    }

    @Test("that is there already is told with its state, by whichever algorithm it was brought")
    func alreadyThere() async throws {
        try await TestInstallation.run { it in
            let key = try PrivateKey.generate(.rs256)
            let kid = JSONWebKey(key.publicKey).keyID
            let keys = it.node.installation.signingKeys
            _ = try await keys.importKey(key, origin: Self.origin)
            let again = try PrivateKey(pkcs8: key.pkcs8(), algorithm: .ps256)
            for other in [key, again] {
                #expect(
                    try await keys.importKey(other, origin: Self.origin)
                        == .alreadyThere(kid: kid, .rs256, .published))
            }
            #expect(try await it.audited("key.imported", "key:\(kid)") == 1)
            let all = try await keys.all().keys
            #expect(all.count == 4)
            // One of ours, given back.
            let signer = try #require(all.first { $0.activatesAt != nil })
            let own = try signer.open(with: it.node.installation.masterKeys)
            #expect(
                try await keys.importKey(own, origin: Self.origin) == .alreadyThere(kid: signer.kid, .rs256, .active))
        }
    }

    @Test("of an algorithm that nothing signs by is not taken")
    func unused() async throws {
        try await TestInstallation.run { it in
            let keys = it.node.installation.signingKeys
            for algorithm in SignatureAlgorithm.allCases where algorithm != .rs256 {
                let key = try PrivateKey.generate(algorithm)
                #expect(try await keys.importKey(key, origin: Self.origin) == .unused(algorithm))
            }
            #expect(try await keys.all().keys.count == 3)
            _ = try await it.node.installation.clients.create(
                ClientRequest(name: "x", accessTokenAlgorithm: "EdDSA"), by: .everything, origin: Self.origin)
            let key = try PrivateKey.generate(.edDSA)
            #expect(
                try await keys.importKey(key, origin: Self.origin) == .imported(kid: JSONWebKey(key.publicKey).keyID))
        }
    }

    @Test("is sealed as our own are")
    func sealed() async throws {
        try await TestInstallation.run { it in
            let key = try PrivateKey.generate(.rs256)
            let der = try key.pkcs8().withBytes { Array($0) }
            let keys = it.node.installation.signingKeys
            _ = try await keys.importKey(key, origin: Self.origin)
            let row = try #require(
                try await keys.all().keys.first { $0.kid.isSameText(as: JSONWebKey(key.publicKey).keyID) })
            let sealed = try #require(row.sealed)
            for start in stride(from: 0, to: der.count - 16, by: 16) {
                let piece = der[start..<(start + 16)]
                #expect(!sealed.indices.contains { sealed[$0...].starts(with: piece) })
            }
            let opened = try row.open(with: it.node.installation.masterKeys)
            #expect(key.publicKey.verify(try opened.sign([1]), of: [1]))
        }
    }
}
