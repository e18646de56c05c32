import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import PKCS11
import Postgres
import Testing

@testable import Latchkey

/// Against SoftHSM.
@Suite("A signing key in a token", .enabled(if: SoftToken.isInstalled), .serialized)
struct TokenHeldKeyTests {
    @Test("signs on every node, and the database holds nothing of it but its public half")
    func signs() async throws {
        let soft = try await SoftToken.named(.node)
        try await TestInstallation.run(nodes: 2, settings: { $0.token = soft.settings() }) { it in
            let tokens = try await it.node.newUser("alice")
            for node in it.nodes {
                let token = try await node.logIn("alice")["access_token"]
                for node in it.nodes { #expect(try await node.get("/account", bearer: token).status == 200) }
                #expect(try await node.get("/readyz").status == 200)
            }
            #expect(try await it.node.refresh(tokens["refresh_token"]).status == 200)
            let rows = try await it.database.query(
                "SELECT count(*) AS count, bool_and(sealed IS NULL AND held_by = 'token') AS bare FROM signing_keys"
            ).one()
            #expect(try rows.decode("count", as: Int64.self) == 3)
            #expect(try rows.decode("bare", as: Bool.self))
            for key in try await it.node.installation.signingKeys.all().keys {
                let opened = try key.open(with: it.node.installation.masterKeys, SecurityToken(soft.settings()))
                #expect(throws: CryptoError.heldElsewhere) { try opened.pkcs8() }
                // Without the token's settings it is named, not taken for wiped.
                #expect(throws: SigningKeyError.self) { try key.open(with: it.node.installation.masterKeys) }
            }
        }
    }

    @Test("is rotated to another one in it; one that is wiped is destroyed there")
    func rotated() async throws {
        let soft = try await SoftToken.named(.rotated)
        let policy = KeyPolicy(publishLead: 4, maxAge: 1, leeway: 1)
        try await TestInstallation.run(
            nodes: 2,
            settings: {
                $0.token = soft.settings()
                $0.keys = policy
            }
        ) { it in
            let administrator = try await it.node.administrator()
            let old = try await it.node.logIn("root").signer
            // Two nodes are told at once: one key is made for nothing, and does not stay there.
            let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for node in it.nodes {
                    group.addTask { try await node.post("/admin/keys/rotate", bearer: administrator) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(answers.map { $0["kid"] }).count == 1)
            let new = try #require(answers.first)["kid"]
            #expect(try await becomesTrue { try await it.nodes[1].logIn("root").signer == new })
            #expect(try await becomesTrue { try soft.objectCount() == 2 * 4 })

            let key = try #require(try await it.node.installation.signingKeys.all().keys.first { $0.kid == old })
            let opened = SecurityToken(soft.settings()).key(of: key)
            #expect(try await onOwnThread { opened.isWhole })
            try await it.database.batch([
                """
                UPDATE signing_keys
                SET leaves_at = retires_at, removed_at = retires_at
                WHERE kid = \(old)
                """,
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await becomesTrue { try soft.objectCount() == 2 * 3 })
            #expect(try await onOwnThread { !opened.isWhole })
            let wiped = try #require(try await it.node.installation.signingKeys.all().keys.first { $0.kid == old })
            #expect(!wiped.hasPrivateHalf)
            #expect(try await it.node.logIn("root").signer == new)
        }
    }

    @Test("whose token does not answer is a 503, and its node leaves /readyz and comes back")
    func unreachable() async throws {
        let soft = try await SoftToken.named(.unreachable)
        try await TestInstallation.run(settings: { $0.token = soft.settings() }) { it in
            _ = try await it.node.newUser("alice")
            @Sendable func canSign() async throws -> Bool {
                try await it.node.get("/readyz").json["checks"]?.object?["signing_key"] == "ok"
            }
            #expect(try await canSign())
            try soft.hide()
            #expect(try await becomesTrue { try await !canSign() })
            #expect(try await it.node.get("/readyz").status == 503)
            let refused = try await it.node.logIn("alice")
            #expect(refused.status == 503)
            #expect(refused.header("retry-after") != nil)
            try soft.show()
            #expect(try await becomesTrue { try await canSign() })
            #expect(try await becomesTrue { try await it.node.logIn("alice").status == 200 })
        }
    }

    @Test("keeps a node from starting where its token or PIN is wrong, and says which")
    func refusedStart() async throws {
        let soft = try await SoftToken.named(.started)
        // In one process a login holds for everybody: one that nobody has logged in to.
        let closed = try await SoftToken.named(.wrongPIN)
        try await TestInstallation.run(settings: { $0.token = soft.settings() }) { it in
            for (settings, reason) in [
                (closed.settings(pin: "0000"), "refused the PIN"),
                (SoftToken(label: "test absent", folder: "").settings(), "no token with the label"),
                (TokenSettings(module: "/nowhere.so", label: "x", pin: "x"), "no PKCS #11 module"),
                (nil, "master keys"),
            ] as [(TokenSettings?, String)] {
                var changed = it.settings
                changed.token = settings
                let installation = Installation(
                    changed, masterKeys: it.node.installation.masterKeys, logger: it.node.installation.logger)
                do {
                    try await TestNode.start(installation).stop()
                    Issue.record("it started: \(reason)")
                } catch {
                    #expect("\(error)".contains(reason), "\(error)")
                    installation.close()
                }
            }
        }
    }

    @Test("replaces those from before as they are rotated away; none is imported beside it")
    func movingIn() async throws {
        let soft = try await SoftToken.named(.movingIn)
        try await TestInstallation.run { it in
            var changed = it.settings
            changed.token = soft.settings()
            let installation = Installation(
                changed, masterKeys: it.node.installation.masterKeys, logger: it.node.installation.logger)
            let node = try await TestNode.start(installation)
            let administrator = try await node.administrator()
            let before = try await node.logIn("root")
            #expect(try await node.post("/admin/keys/rotate", bearer: administrator).status == 202)
            let holders = try await installation.signingKeys.all().keys.map(\.holder)
            #expect(holders.filter { $0 == .database }.count == 3)
            #expect(holders.filter { $0 == .token }.count == 1)
            #expect(try await node.get("/account", bearer: before["access_token"]).status == 200)
            await #expect(throws: SigningKeyError.self) {
                try await installation.signingKeys.importKey(PrivateKey.generate(.rs256), origin: Origin(actor: "test"))
            }
            await node.stop()
        }
    }
}
