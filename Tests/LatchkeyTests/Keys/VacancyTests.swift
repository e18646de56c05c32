import JOSE
import LatchkeyTesting
import Logging
import PKCS11
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// The last key leaks, and none can be made in its place.
@Suite("A compromise with nobody to follow", .serialized)
struct VacancyTests {
    private static let origin = Origin(actor: "test")
    private static let nowhere = TokenSettings(module: "/nowhere.so", label: "x", pin: "x")

    private func installation(
        _ it: TestInstallation, token: TokenSettings?, role: ProcessRole = .node, logger: Logger = MasterKeyScene.quiet
    ) throws -> Installation {
        var settings = it.settings
        settings.token = token
        return Installation(
            settings, as: role, masterKeys: try it.settings.masterKeySource.load(), logger: logger)
    }

    /// An installation whose only node has ended, and which its keys outlive.
    private func still(
        _ body: @Sendable (TestInstallation) async throws -> Void
    ) async throws {
        try await TestInstallation.run(nodes: 0) { it in
            let founder = try installation(it, token: nil)
            defer { founder.close() }
            try await Node(founder).prepare()
            try await body(it)
        }
    }

    private func signer(_ it: Installation) async throws -> String {
        try await KeyAdministration(it.signingKeys, use: it.keyUse).signer()
    }

    private func compromise(_ kid: String, _ it: Installation) async throws -> KeyCompromises.Outcome {
        try await it.compromises.compromise(kid, reason: "a drill", origin: Self.origin)
    }

    private func entries(_ kid: String, _ it: TestInstallation) async throws -> [Int16] {
        try await it.database.query("SELECT kind FROM revoked_keys WHERE kid = \(kid) ORDER BY seq").rows.map {
            try $0.decode("kind")
        }
    }

    /// Starts a node that lets a key sign and makes two more behind it.
    private func recover(_ it: TestInstallation, _ recovered: Installation) async throws -> String {
        let node = try await TestNode.start(recovered)
        let result: Result<String, any Error>
        do {
            #expect(try await node.get("/readyz").status == 200)
            let kid = try await node.newUser("alice").signer
            #expect(try await CompromiseScene.published(node).contains(kid))
            #expect(
                try await becomesTrue(within: .seconds(20)) {
                    try await recovered.signingKeys.all().keys.count(where: \.isStandby) == 2
                })
            #expect(try await node.logIn("alice").signer == kid)
            result = .success(kid)
        } catch {
            result = .failure(error)
        }
        await node.stop()
        return try result.get()
    }

    @Test func `lists the key all the same, says why and what to do, and a node that can make one signs at once`()
        async throws
    {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, logLevel: .error) { line in
                let text = String(decoding: line, as: UTF8.self)
                lines.withLock { $0.append(text) }
            }
        }
        try await still { it in
            let unable = try installation(it, token: Self.nowhere, logger: logger)
            defer { unable.close() }
            var gone: [String] = []
            for _ in 0..<2 {
                gone.append(try await signer(unable))
                let outcome = try await compromise(gone[gone.count - 1], unable)
                #expect(outcome.opening == .opens && outcome.unmade == nil && !outcome.leavesNobody)
            }
            #expect(lines.withLock { $0 } == [])
            let last = try await signer(unable)
            let administration = KeyCompromiseAdministration(unable.compromises, sessions: unable.sessions)
            let foreseen = try await administration.foresee(last).object?["effects"]?.strings?.first
            #expect(foreseen?.contains("or nobody does") == true)

            let (answer, _) = try await administration.compromise(last, reason: "a drill", origin: Self.origin)
            #expect(answer.object?["nobody_signs"] == true)
            #expect(answer.object?["signs_next"] == nil)
            #expect(answer.object?["why"]?.string?.contains("/nowhere.so is no PKCS #11 module") == true)
            #expect(answer.object?["warnings"]?.strings?.first?.contains("signs at once") == true)
            #expect(lines.withLock { $0.count { $0.contains("none follows it") && $0.contains("/nowhere.so") } } == 1)
            for kid in gone + [last] { #expect(try await entries(kid, it) == [3]) }
            #expect(try await unable.signingKeys.nobodySigns())
            let again = try await compromise(last, unable)
            #expect(again.novelty == .already && !again.leavesNobody)

            // Without the means a node does not start, and says so.
            let refusal = await #expect(throws: Node.StartError.self) { try await Node(unable).prepare() }
            #expect(refusal?.description.contains("/nowhere.so is no PKCS #11 module") == true)
            #expect(refusal?.description.contains("LATCHKEY_PKCS11_MODULE") == true)
            #expect(try await unable.signingKeys.nobodySigns())

            let kid = try await recover(it, try installation(it, token: nil))
            #expect(!gone.contains(kid) && kid != last)
            #expect(try await it.audited("key.activated", "key:\(kid)") == 1)
        }
    }

    @Test func `is taken back, and still the next key signs at once: the one that is back never does again`()
        async throws
    {
        try await still { it in
            let unable = try installation(it, token: Self.nowhere)
            defer { unable.close() }
            var last = ""
            for _ in 0..<3 {
                last = try await signer(unable)
                _ = try await compromise(last, unable)
            }
            _ = try await unable.compromises.restore(last, reason: nil, origin: Self.origin)
            #expect(try await unable.signingKeys.nobodySigns())
            #expect(try await recover(it, try installation(it, token: nil)) != last)
        }
    }

    @Test(.enabled(if: SoftToken.isInstalled))
    func `in a token that was stolen says so at each step, and the nodes sign with a new key when one is there`()
        async throws
    {
        let soft = try await SoftToken.named(.stolen)
        try await TestInstallation.run(settings: { $0.token = soft.settings() }) { it in
            let scene = try await CompromiseScene(it)
            let administrator = try await scene.administrator()
            let installation = it.node.installation
            let first = try await signer(installation)
            try soft.hide()
            let answer = try await it.node.post(
                "/admin/keys/\(first)/compromise", ["reason": "stolen", "confirm": true], bearer: administrator)
            #expect(answer.status == 202)
            let next = try #require(answer.json["signs_next"]?.object)
            #expect(next["ripe"] == true && next["opens"] == false)
            #expect(next["why"]?.string?.contains("PKCS #11 token") == true)
            #expect(answer.json["why"]?.string?.isEmpty == false)
            #expect(answer.json["nobody_signs"] == nil)
            #expect(answer.json["warnings"]?.strings?.first?.contains("does not open here") == true)

            for _ in 0..<2 { _ = try await compromise(try await signer(installation), installation) }
            #expect(try await installation.signingKeys.nobodySigns())
            #expect(try await it.database.query("SELECT kid FROM revoked_keys").count == 3)
            #expect(try await becomesTrue { try await it.node.get("/readyz").status == 503 })
            #expect(try await it.node.logIn("root").status == 503)
            try soft.show()
            #expect(try await becomesTrue(within: .seconds(40)) { try await it.node.logIn("root").status == 200 })
            #expect(try await it.node.get("/readyz").status == 200)
        }
    }

    @Test func `is declared when a key to follow has been waited for long enough`() async throws {
        try await still { it in
            let hasty = try installation(it, token: nil)
            defer { hasty.close() }
            try await it.database.query("DELETE FROM signing_keys WHERE activates_at IS NULL")
            let kid = try await signer(hasty)
            let outcome = try await KeyCompromises(
                hasty.signingKeys, ring: hasty.ring, revocations: hasty.revocations, logger: MasterKeyScene.quiet,
                patience: .nanoseconds(1)
            ).compromise(kid, reason: "a drill", origin: Self.origin)
            #expect(outcome.leavesNobody)
            #expect(outcome.unmade == "it took too long, and was not waited for")
            #expect(try await entries(kid, it) == [3])
            _ = try await recover(it, try installation(it, token: nil))
        }
    }
}
