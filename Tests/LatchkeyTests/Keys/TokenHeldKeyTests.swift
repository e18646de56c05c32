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
            #expect(try await onOwnThread(within: .seconds(10)) { opened.isWhole })
            try await it.database.batch([
                """
                UPDATE signing_keys
                SET leaves_at = retires_at, removed_at = retires_at
                WHERE kid = \(old)
                """,
                "UPDATE key_ring SET version = version + 1",
            ])
            #expect(try await becomesTrue { try soft.objectCount() == 2 * 3 })
            #expect(try await onOwnThread(within: .seconds(10)) { !opened.isWhole })
            let wiped = try #require(try await it.node.installation.signingKeys.all().keys.first { $0.kid == old })
            #expect(!wiped.hasPrivateHalf)
            #expect(try await it.node.logIn("root").signer == new)
        }
    }

    @Test("whose token does not answer is a 503, and its node leaves /readyz and comes back", .eachAnswerCounts)
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

    @Test(
        "whose token hangs keeps neither callers, readiness nor a graceful stop, and signs on when it answers",
        .eachAnswerCounts)
    func hangs() async throws {
        let soft = try await SoftToken.named(.hangs)
        try await TestInstallation.run(settings: { $0.token = soft.settings() }) { it in
            _ = try await it.node.newUser("alice")
            let more = Installation(
                it.settings, masterKeys: it.node.installation.masterKeys, logger: it.node.installation.logger)
            let other = try await TestNode.start(more)
            try soft.freeze()
            // More than there are threads: those that wait behind the hanging ones are answered in time as well.
            let (slowest, statuses) = try await withThrowingTaskGroup(of: (Duration, Int).self) { group in
                for _ in 0..<6 {
                    group.addTask {
                        let start = ContinuousClock.now
                        let status = try await other.logIn("alice").status
                        return (ContinuousClock.now - start, status)
                    }
                }
                return try await group.reduce(into: (Duration.zero, Set<Int>())) {
                    $0 = (max($0.0, $1.0), $0.1.union([$1.1]))
                }
            }
            #expect(statuses == [503])
            // Promised are 2 s: this machine may be busy.
            #expect(slowest < .seconds(3))
            #expect(try await becomesTrue { try await other.get("/readyz").status == 503 })
            #expect(await more.ring.proveToken() == .doesNotAnswer)
            let start = ContinuousClock.now
            #expect(try await other.logIn("alice").status == 503)
            #expect(ContinuousClock.now - start < .seconds(1), "known by now")
            let stop = ContinuousClock.now
            await other.stop()
            #expect(ContinuousClock.now - stop < .seconds(5))
            try soft.thaw()
            #expect(try await becomesTrue(within: .seconds(30)) { try await it.node.logIn("alice").status == 200 })
            #expect(try await becomesTrue { try await it.node.get("/readyz").status == 200 })
        }
    }

    @Test(
        "signs status lists: a token that hangs keeps nobody who asks for one, and no old list behind it",
        .eachAnswerCounts)
    func hangingLists() async throws {
        let soft = try await SoftToken.named(.lists)
        try await TestInstallation.withStatusLists(settings: { $0.token = soft.settings() }) { it in
            let reference = try #require(try Reference(try await it.node.newUser("alice")))
            let path = String(reference.uri.dropFirst(it.settings.issuer.count))
            let other = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys, logger: it.node.installation.logger))
            @Sendable func ask() async throws -> (Duration, Int) {
                let start = ContinuousClock.now
                let status = try await other.get(path).status
                return (ContinuousClock.now - start, status)
            }
            let result: Result<Void, any Error>
            do {
                #expect(try await ask().1 == 200)
                try soft.freeze()
                // The list that was made is good for a second. The call behind it is the one that hangs.
                var late: [(Duration, Int)] = []
                for _ in 0..<4 {
                    late += try await withThrowingTaskGroup(of: (Duration, Int).self) { group in
                        for _ in 0..<3 { group.addTask { try await ask() } }
                        return try await group.reduce(into: []) { $0.append($1) }
                    }
                    if late.contains(where: { $0.1 == 503 }) { break }
                    #expect(try await becomesTrue { try await ask().1 == 503 })
                }
                #expect(late.allSatisfy { $0.0 < .seconds(3) }, "\(late)")
                #expect(try await ask().1 == 503)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            try soft.thaw()
            #expect(try await becomesTrue(within: .seconds(30)) { try await ask().1 == 200 })
            let list = try await ReceivedStatusList(try await other.get(path), other)
            let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
            #expect(now.seconds - (try #require(list.claims["iat"]?.int)) <= 4)
            await other.stop()
            try result.get()
        }
    }

    @Test("that was declared compromised by mistake is taken back")
    func restored() async throws {
        let soft = try await SoftToken.named(.restored)
        try await TestInstallation.run(settings: { $0.token = soft.settings() }) { it in
            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            #expect(try await scene.compromise(kid).status == 202)
            #expect(try await it.node.admits(tokens) == false)
            #expect(try await scene.restore(kid)["state"] == "retired")
            #expect(try await it.node.admits(tokens))
        }
    }

    @Test("that is missing as a standby is passed over, and its node stays in service")
    func missingStandby() async throws {
        let soft = try await SoftToken.named(.unfit)
        try await TestInstallation.run(settings: { $0.token = soft.settings() }) { it in
            let signer = try await it.node.newUser("alice").signer
            let keys = it.node.installation.signingKeys
            let standby = try #require(try await keys.all().keys.first { $0.isStandby })
            try await onOwnThread(within: .seconds(10)) { try soft.opened().destroy(kid: standby.kid) }
            #expect(await keys.unfitStandbys(of: try await keys.all().keys) == [standby.kid])
            #expect(await it.node.installation.ring.canSign())
            #expect(it.node.installation.ring.keys.count == 3)
            let rotation = try await KeyCompromises(
                keys, ring: it.node.installation.ring, revocations: it.node.installation.revocations,
                logger: MasterKeyScene.quiet
            ).foresee(signer)
            guard case .compromise(let change) = rotation.decision else {
                Issue.record("\(rotation.decision)")
                return
            }
            #expect(change.takeover?.kid != standby.kid)
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
