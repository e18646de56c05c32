import JOSE
import LatchkeyTesting
import PKCS11
import Postgres
import Testing

@testable import Latchkey

extension TokenHeldKeyTests {
    /// An installation whose keys are made, and no node of which does anything by itself.
    private func founded(
        in soft: SoftToken, _ body: @Sendable (TestInstallation, Installation) async throws -> Void
    ) async throws {
        try await TestInstallation.run(nodes: 0, settings: { $0.token = soft.settings() }) { it in
            let installation = Installation(
                it.settings, masterKeys: try it.settings.masterKeySource.load(), logger: MasterKeyScene.quiet)
            defer { installation.close() }
            try await Node(installation).prepare()
            try await body(it, installation)
        }
    }

    @Test("that was wiped while its token was away is destroyed there when it is back")
    func destroyedLate() async throws {
        let soft = try await SoftToken.named(.left)
        try await founded(in: soft) { it, installation in
            let (keys, origin) = (installation.signingKeys, Origin(actor: "test"))
            // A fourth one, retired and long out of the JWKS.
            let gone = try await keys.rotate(
                from: try await KeyAdministration(keys, use: installation.keyUse).signer(), reason: nil, origin: origin)
            guard case .rotate(let old, let new, _) = gone else {
                Issue.record("\(gone)")
                return
            }
            try await it.database.batch([
                "UPDATE signing_keys SET activates_at = activates_at - interval '1 day' WHERE kid IN (\(old), \(new))",
                """
                UPDATE signing_keys
                SET retires_at = retires_at - interval '1 day', leaves_at = retires_at - interval '1 day',
                    removed_at = retires_at - interval '1 day'
                WHERE kid = \(old)
                """,
            ])
            #expect(try soft.objectCount() == 2 * 4)
            @Sendable func left() async throws -> Bool {
                try await it.database.query("SELECT left_in_token FROM signing_keys WHERE kid = \(old)").one()
                    .decode("left_in_token")
            }
            try soft.hide()
            await #expect(throws: SigningKeyError.self) { try await keys.carryOutDue(origin: origin) }
            #expect(try await left())
            #expect(try await keys.all().keys.first { $0.kid == old }?.hasPrivateHalf == false)
            await #expect(throws: SigningKeyError.self) { try await keys.carryOutDue(origin: origin) }
            #expect(try await left())
            try soft.show()
            // What began anew for the token's sake does so at most every two seconds.
            #expect(
                try await becomesTrue {
                    _ = try? await keys.carryOutDue(origin: origin)
                    return try await !left()
                })
            #expect(try soft.objectCount() == 2 * 3)
        }
    }

    @Test("is not asked for of a token that did not finish the last change, nor is another destroyed there")
    func stuck() async throws {
        let soft = try await SoftToken.named(.stuck)
        try await founded(in: soft) { it, installation in
            let keys = installation.signingKeys
            let token = try #require(keys.token)
            try soft.freeze()
            // Nobody signs meanwhile: that it hangs is known by this alone.
            async let destroyed: Void = onOwnThread(within: .seconds(60)) { try token.destroy(kid: "none") }
            let isStuck = await becomesTrue { token.isStuck }
            let (ring, failure) = (try await keys.read(), token.failure)
            var refusals: [String] = []
            do { _ = try keys.maker(for: ring) } catch { refusals.append("\(error)") }
            try await it.database.query(
                "UPDATE signing_keys SET left_in_token = true, held_by = 'database' WHERE activates_at IS NULL")
            let begun = ContinuousClock.now
            do { try await keys.destroyLeft(try await keys.all().keys) } catch { refusals.append("\(error)") }
            let spent = ContinuousClock.now - begun
            try await it.database.query(
                "UPDATE signing_keys SET left_in_token = false, held_by = 'token' WHERE activates_at IS NULL")
            try soft.thaw()
            try await destroyed
            #expect(isStuck && failure == nil)
            #expect(refusals.count == 2)
            #expect(refusals.first == SigningKeyError.tokenSilent.description)
            #expect(spent < .seconds(2), "no call was made")
            #expect(!token.isStuck)
        }
    }
}
