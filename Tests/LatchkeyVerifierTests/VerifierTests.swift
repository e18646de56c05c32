import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import Metrics
import MetricsTestKit
import ServiceLifecycle
import Synchronization
import Testing

@testable import LatchkeyVerifier

extension Verifier {
    /// A verifier that follows `it` while `body` runs.
    static func following(
        _ it: FakeIssuer, staleAfter limit: Duration = .seconds(30), whenStale: StalePolicy = .refuse,
        source: VerifierSource = .discovery, name: String? = nil, clocks: Clocks = .machine,
        metrics: any MetricsFactory = NOOPMetricsHandler.instance, isReady: Bool = true,
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        _ body: @Sendable (Verifier) async throws -> Void
    ) async throws {
        let verifier = try Verifier(
            issuer: it.issuer, audience: TokenForge.audience, staleAfter: limit, whenStale: whenStale, source: source,
            name: name, credentials: nil, leeway: .seconds(5),
            logger: logger, clocks: clocks, metrics: metrics)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await verifier.run() }
            defer { group.cancelAll() }
            if isReady { try await verifier.waitUntilReady(within: .seconds(30)) }
            try await body(verifier)
        }
    }

    /// The verdict; nil where it accepts.
    func rejection(_ token: String) async -> TokenRejection? {
        do throws(TokenRejection) {
            _ = try await verify(token)
            return nil
        } catch {
            return error
        }
    }
}

@Suite("The verifier, against an issuer on the network")
struct VerifierTests {
    @Test func `accepts a token until its revocation has come, by every id`() async throws {
        try await FakeIssuer.run { it in
            try await Verifier.following(it) { verifier in
                let (first, second) = (try it.token(), try it.token())
                #expect(try await verifier.verify(first.text).tokenID == first.tokenID.text)
                #expect(try verifier.verifyWithKeysAtHand(second.text).sessionID == second.sessionID.text)
                try await verifier.waitUntilApplied(it.revoke(first.tokenID), within: .seconds(10))
                #expect(await verifier.rejection(first.text) == .revoked)
                #expect(await verifier.rejection(second.text) == nil)
                let end = UInt32(ClockReading.now().wall / 1000 + 4000)
                let position = it.revoke(.id(.session, second.sessionID, expiresAt: end))
                try await verifier.waitUntilApplied(position, within: .seconds(10))
                #expect(await verifier.rejection(second.text) == .revoked)

                let third = try it.token()
                let keyID = try await verifier.verify(third.text).keyID
                try await verifier.waitUntilApplied(it.revoke(.key(keyID)), within: .seconds(10))
                #expect(await verifier.rejection(third.text) == .revoked)
                try await verifier.waitUntilApplied(it.revoke(.lift(keyID)), within: .seconds(10))
                #expect(await verifier.rejection(third.text) == nil)

                let status = verifier.status
                #expect(status.isFresh && status.hasKeys && status.revocations == 2)
                #expect(status.position == it.position)
                #expect(try #require(status.age) < .seconds(3))
                #expect(abs(try #require(status.freshAsOf) - ClockReading.now().wall / 1000) <= 4)
            }
        }
    }

    @Test(
        "a feed that is tampered with makes a fail-closed verifier refuse, never accept what is revoked, and it heals",
        arguments: FakeIssuer.Tampering.allCases.filter { $0 != .nothing })
    func tampering(tampering: FakeIssuer.Tampering) async throws {
        let clocks = MovedClocks()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, staleAfter: .seconds(3), clocks: clocks.clocks) { verifier in
                let (victim, other) = (try it.token(), try it.token())
                it.revoke(.random())
                try await verifier.waitUntilApplied(it.position, within: .seconds(10))
                #expect(await verifier.rejection(victim.text) == nil)
                // Something for a replay.
                #expect(await becomesTrue { it.state.withLock { $0.recordedEvent != nil } })

                it.tamper(tampering)
                it.revoke(victim.tokenID)
                let revokedAt = clocks.clocks.read().boot
                var last: TokenRejection?
                for _ in 0..<60 {
                    let now = clocks.clocks.read().boot
                    last = await verifier.rejection(victim.text)
                    // Accepted at all only while the limit has not passed since the revocation.
                    if last == nil { #expect(now - revokedAt <= Duration.seconds(3).nanoseconds) }
                    clocks.advance(.milliseconds(150))
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(last == .stale || last == .revoked)
                // Where nothing comes through, what is good is refused, too, and said to be so.
                if [.cut, .silent, .truncates, .foreignKey, .replays].contains(tampering) {
                    #expect(last == .stale && !verifier.status.isFresh)
                    #expect(await verifier.rejection(other.text) == .stale)
                }

                it.tamper(.nothing)
                #expect(await becomesTrue(within: .seconds(15)) { await verifier.rejection(victim.text) == .revoked })
                #expect(await becomesTrue(within: .seconds(15)) { await verifier.rejection(other.text) == nil })
            }
        }
    }

    @Test func `a verifier that fails open accepts while it is stale, but nothing that it knows to be revoked`()
        async throws
    {
        let clocks = MovedClocks()
        let metrics = TestMetrics()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, whenStale: .accept, clocks: clocks.clocks, metrics: metrics) { verifier in
                let (known, other) = (try it.token(), try it.token())
                try await verifier.waitUntilApplied(it.revoke(known.tokenID), within: .seconds(10))
                it.tamper(.cut)
                clocks.advance(.seconds(60))
                #expect(!verifier.status.isFresh)
                #expect(await verifier.rejection(known.text) == .revoked)
                #expect(await verifier.rejection(other.text) == nil)
                #expect(
                    try metrics.expectCounter("latchkey_verifier_tokens_accepted_while_stale_total").totalValue == 1)
                #expect(
                    try metrics.expectCounter("latchkey_verifier_tokens_rejected_total", [("reason", "revoked")])
                        .totalValue == 1)
            }
        }
    }

    @Test("clocks stepped by hours make no revoked token good, and the verifier heals", arguments: [-5, 5])
    func steppedClocks(hours: Int) async throws {
        let clocks = MovedClocks()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, clocks: clocks.clocks) { verifier in
                let revoked = try it.token()
                try await verifier.waitUntilApplied(it.revoke(revoked.tokenID), within: .seconds(10))
                for _ in 0..<2 {
                    clocks.move(wall: .seconds(hours * 3600))
                    #expect(await verifier.rejection(revoked.text) != nil)
                    #expect(await becomesTrue(within: .seconds(10)) { verifier.status.isFresh })
                    #expect(await verifier.rejection(revoked.text) != nil)
                    clocks.move(wall: .seconds(-hours * 3600))
                    #expect(await becomesTrue(within: .seconds(10)) { verifier.status.isFresh })
                    #expect(await verifier.rejection(revoked.text) == .revoked)
                }
                #expect(await verifier.rejection(try it.token().text) == nil)
            }
        }
    }

    @Test func `a machine that stood still while it asked for the first time asks again, whatever its clocks say then`()
        async throws
    {
        let (clocks, metrics) = (MovedClocks(), TestMetrics())
        try await FakeIssuer.run { it in
            it.tamper(.silent)
            let state = FollowerState(proof: .nonce, limit: Duration.seconds(30).nanoseconds)
            // Alone: a verifier's gauges would look at the clocks meanwhile.
            let follower = RevocationFollower(
                issuer: it.issuer,
                directory: Directory(
                    issuer: it.issuer,
                    discovery: try #require(Endpoint("\(it.issuer)/.well-known/openid-configuration"))),
                credentials: nil, revocations: FollowedSet(state), clocks: clocks.clocks,
                metrics: VerifierMetrics(factory: metrics, startedAt: .now()),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let client = IssuerClient()
            let running = Task { await follower.run(client) }
            #expect(await becomesTrue(within: .seconds(10)) { it.asked("list") == 1 })
            clocks.move(wall: .seconds(600))
            follower.revocations.observe(clocks.clocks.read())
            clocks.move(wall: .seconds(-600))
            it.tamper(.nothing)
            #expect(await becomesTrue(within: .seconds(30)) { follower.revocations.follower.position != nil })
            running.cancel()
            await running.value
            await client.close()
            let jumps = try metrics.expectCounter("latchkey_verifier_feed_faults_total", [("reason", "clock_jumped")])
            #expect(jumps.totalValue == 1)
        }
    }

    @Test func `a machine that stood still as a whole is stale until it has asked again`() async throws {
        let clocks = MovedClocks()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, clocks: clocks.clocks) { verifier in
                let token = try it.token()
                #expect(await verifier.rejection(token.text) == nil)
                it.tamper(.cut)
                // Ten minutes by the wall clock; the boot clock knows nothing of them.
                clocks.move(wall: .seconds(600))
                #expect(await verifier.rejection(token.text) == .stale)
                #expect(verifier.status.age == nil)
                it.tamper(.nothing)
                #expect(await becomesTrue(within: .seconds(15)) { verifier.status.isFresh })
            }
        }
    }

    @Test(
        "where the stream does not come through, held answers do; where those do not, polls",
        arguments: [FakeIssuer.Tampering.noStream, .noHolding])
    func fallback(tampering: FakeIssuer.Tampering) async throws {
        try await FakeIssuer.run { it in
            it.tamper(tampering)
            try await Verifier.following(it, staleAfter: .seconds(3)) { verifier in
                let what = tampering == .noStream ? "held" : "poll"
                #expect(await becomesTrue(within: .seconds(20)) { it.asked(what) > 2 })
                #expect(await becomesTrue(within: .seconds(15)) { verifier.status.isFresh })
                let token = try it.token()
                #expect(await verifier.rejection(token.text) == nil)
                let begin = ContinuousClock.now
                try await verifier.waitUntilApplied(it.revoke(token.tokenID), within: .seconds(10))
                #expect(await verifier.rejection(token.text) == .revoked)
                if tampering == .noStream { #expect(ContinuousClock.now - begin < .seconds(5)) }
            }
        }
    }

    @Test func `another history is read from the start, and what was revoked in the old one stays revoked`()
        async throws
    {
        try await FakeIssuer.run { it in
            try await Verifier.following(it) { verifier in
                let (old, new) = (try it.token(), try it.token())
                try await verifier.waitUntilApplied(it.revoke(old.tokenID), within: .seconds(10))
                it.change { state in
                    state.epoch = .random()
                    state.entries = []
                }
                try await verifier.waitUntilApplied(it.revoke(new.tokenID), within: .seconds(15))
                #expect(await verifier.rejection(new.text) == .revoked)
                #expect(await verifier.rejection(old.text) == .revoked)
                #expect(verifier.status.revocations == 2 && verifier.status.isFresh)
            }
        }
    }

    @Test func `a node that says it is stale is believed`() async throws {
        let clocks = MovedClocks()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, staleAfter: .seconds(3), clocks: clocks.clocks) { verifier in
                let token = try it.token()
                it.change { $0.isStale = true }
                clocks.advance(.seconds(4))
                #expect(await becomesTrue { await verifier.rejection(token.text) == .stale })
                it.change { $0.isStale = false }
                #expect(await becomesTrue(within: .seconds(15)) { await verifier.rejection(token.text) == nil })
            }
        }
    }

    @Test func `a list of thousands comes whole, and one entry at a time after it`() async throws {
        try await FakeIssuer.run { it in
            let end = UInt32(ClockReading.now().wall / 1000 + 4000)
            it.change { $0.entries = (0..<20_000).map { _ in .id(.session, .random(), expiresAt: end) } }
            let revoked = try it.token()
            it.revoke(revoked.tokenID)
            try await Verifier.following(it) { verifier in
                #expect(verifier.status.revocations == 20_001)
                #expect(await verifier.rejection(revoked.text) == .revoked)
                let another = try it.token()
                try await verifier.waitUntilApplied(it.revoke(another.tokenID), within: .seconds(10))
                #expect(await verifier.rejection(another.text) == .revoked)
                #expect(it.asked("list") == 1)
            }
        }
    }

    // MARK: keys

    @Test func `a key that nobody knows yet is fetched once for all who ask`() async throws {
        try await FakeIssuer.run { it in
            try await Verifier.following(it, name: "orders/1") { verifier in
                let before = it.state.withLock { $0.keyFetches }
                let new = try PrivateKey.generate(.es256)
                let token = try it.token(by: new)
                // Within the cool-down of the first fetch nobody waits, and nothing is fetched.
                #expect(await verifier.rejection(token.text) == .unknownKey)
                #expect(it.state.withLock { $0.keyFetches } == before)
            }
            let clocks = MovedClocks()
            try await Verifier.following(it, name: "orders/1", clocks: clocks.clocks) { verifier in
                let before = it.state.withLock { $0.keyFetches }
                let new = try PrivateKey.generate(.es256)
                it.change { $0.signers.append(new) }
                let token = try it.token(by: new)
                clocks.advance(.seconds(11))
                await withTaskGroup(of: TokenRejection?.self) { group in
                    for _ in 0..<50 { group.addTask { await verifier.rejection(token.text) } }
                    for await rejection in group { #expect(rejection == nil || rejection == .stale) }
                }
                #expect(await becomesTrue { await verifier.rejection(token.text) == nil })
                #expect(it.state.withLock { $0.keyFetches } == before + 1)
                // Forged ones fetch nothing now.
                for _ in 0..<50 {
                    let forged = try it.token(by: try PrivateKey.generate(.edDSA))
                    #expect(await verifier.rejection(forged.text) == .unknownKey)
                }
                #expect(it.state.withLock { $0.keyFetches } == before + 1)
                let names = it.state.withLock { $0.verifierHeaders }
                let kid = JSONWebKey(it.state.withLock { $0.signers[0] }.publicKey).keyID
                #expect(names.first == "name=\"orders/1\", kids=()")
                #expect(names.last == "name=\"orders/1\", kids=(\"\(kid)\")")
            }
        }
    }

    @Test func `keys are fetched again when they are old, the last good ones stay while nothing comes`() async throws {
        try await FakeIssuer.run { it in
            it.change { $0.maxAge = 1 }
            let metrics = TestMetrics()
            try await Verifier.following(it, metrics: metrics) { verifier in
                let old = try it.token()
                let before = it.state.withLock { $0.keyFetches }
                #expect(await becomesTrue(within: .seconds(10)) { it.state.withLock { $0.keyFetches } >= before + 2 })
                it.change { $0.keysAreDown = true }
                let during = it.state.withLock { $0.keyFetches }
                #expect(await becomesTrue(within: .seconds(10)) { it.state.withLock { $0.keyFetches } > during })
                #expect(await verifier.rejection(old.text) == nil)
                let failures = try metrics.expectCounter(
                    "latchkey_verifier_jwks_fetches_total", [("outcome", "failed")])
                #expect(await becomesTrue { failures.totalValue > 0 })
                // A key that left takes its tokens along, even one that was verified a moment ago.
                let new = try PrivateKey.generate(.es256)
                it.change { state in
                    state.signers = [new]
                    state.keysAreDown = false
                }
                #expect(
                    await becomesTrue(within: .seconds(15)) { await verifier.rejection(old.text) == .unknownKey })
                #expect(await verifier.rejection(try it.token().text) == nil)
            }
        }
    }

    // MARK: mirrors

    @Test func `a mirror is believed by its signatures and its time`() async throws {
        let clocks = MovedClocks()
        try await FakeIssuer.run { it in
            let pinned = try #require(it.forge.withLock { $0 }).jwks
            let source = VerifierSource.mirror(
                keys: "\(it.issuer)/jwks", revocations: "\(it.issuer)/revocations",
                pinned: String(decoding: pinned.encoded(), as: UTF8.self), clockError: .milliseconds(500))
            try await Verifier.following(it, staleAfter: .seconds(6), source: source, clocks: clocks.clocks) {
                verifier in
                let token = try it.token()
                #expect(await verifier.rejection(token.text) == nil)
                it.revoke(token.tokenID)
                #expect(await becomesTrue(within: .seconds(6)) { await verifier.rejection(token.text) == .revoked })
                // It serves the same list for ever.
                it.tamper(.replays)
                clocks.advance(.seconds(7))
                #expect(await becomesTrue { !verifier.status.isFresh })
                it.tamper(.foreignKey)
                #expect(await verifier.rejection(try it.token().text) == .stale)
                #expect(it.asked("stream") == 0)
            }
        }
    }

    // MARK: life and arguments

    @Test func `without run it accepts nothing and waits for nothing`() async throws {
        try await FakeIssuer.run { it in
            let verifier = try Verifier(
                issuer: it.issuer, audience: TokenForge.audience, staleAfter: .seconds(3), whenStale: .accept)
            #expect(await verifier.rejection(try it.token().text) == .stale)
            #expect(!verifier.status.hasKeys && !verifier.status.isFresh && verifier.status.position == nil)
            await #expect(throws: VerifierError.self) { try await verifier.waitUntilReady(within: .milliseconds(50)) }
            #expect(it.state.withLock { $0.keyFetches } == 0)
        }
    }

    @Test func `it ends with its service group`() async throws {
        try await FakeIssuer.run { it in
            let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let verifier = try Verifier(
                issuer: it.issuer, audience: TokenForge.audience, staleAfter: .seconds(3), whenStale: .refuse,
                logger: silent)
            let group = ServiceGroup(services: [verifier], logger: silent)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                try await verifier.waitUntilReady(within: .seconds(30))
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
            #expect(await verifier.rejection(try it.token(by: try PrivateKey.generate(.es256)).text) == .unknownKey)
        }
    }

    @Test func `an issuer that is not there, or another, gives nothing`() async throws {
        try await FakeIssuer.run { it in
            let other = it.issuer.replacing("127.0.0.1", with: "localhost")
            let verifier = try Verifier(
                issuer: other, audience: TokenForge.audience, staleAfter: .seconds(3), whenStale: .accept,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await verifier.run() }
                defer { group.cancelAll() }
                // The discovery document names another issuer than was asked for (RFC 8414 §3.3).
                await #expect(throws: VerifierError.self) { try await verifier.waitUntilReady(within: .seconds(30)) }
                #expect(it.state.withLock { $0.keyFetches } == 0)
            }
        }
    }

    @Test(
        "an issuer that is no https URL is refused",
        arguments: [
            "http://id.example", "id.example", "", "https://", "ftp://id.example", "https://a@id.example",
            "http://127.0.0.1.evil.example", "https://id.exämple", "http://localhost@evil.example",
            "https://id.example#x", "https://id.example\\x", "https://id.example:8a", "http://[::1",
            "https://id example",
        ])
    func badIssuers(issuer: String) {
        #expect(Self.code(issuer: issuer) == .invalidIssuer)
    }

    @Test func `arguments that would verify less than meant are refused`() {
        for issuer in ["https://id.example", "https://id.example:8443/x", "http://127.0.0.1:8080", "http://[::1]:1"] {
            #expect(Self.code(issuer: issuer) == nil)
        }
        #expect(Self.code(audience: "") == .invalidAudience)
        #expect(Self.code(leeway: 301) == .invalidLeeway && Self.code(leeway: -1) == .invalidLeeway)
        #expect(Self.code(leeway: 300) == nil && Self.code(leeway: 0) == nil)
        #expect(Self.code(limit: 2) == .invalidStaleness && Self.code(limit: 3601) == .invalidStaleness)
    }

    private static func code(
        issuer: String = "https://id.example", audience: String = "a", leeway: Int = 30, limit: Int = 5
    ) -> VerifierError.Code? {
        do throws(VerifierError) {
            _ = try Verifier(
                issuer: issuer, audience: audience, staleAfter: .seconds(limit), whenStale: .refuse,
                leeway: .seconds(leeway))
            return nil
        } catch {
            return error.code
        }
    }

    @Test func `names, addresses and pinned keys are checked when the verifier is made`() throws {
        func code(_ source: VerifierSource = .discovery, name: String? = nil) -> VerifierError.Code? {
            do throws(VerifierError) {
                _ = try Verifier(
                    issuer: "https://id.example", audience: "a", staleAfter: .seconds(3), whenStale: .refuse,
                    source: source, name: name)
                return nil
            } catch {
                return error.code
            }
        }
        let keys = String(decoding: try FeedForge().jwks.encoded(), as: UTF8.self)
        let (good, bad) = ("https://id.example/x", "http://id.example/x")
        #expect(code(name: "orders/1") == nil && code() == nil)
        for name in ["", "a b", "a\"", "a\\", "é", String(repeating: "a", count: 65)] {
            #expect(code(name: name) == .invalidName)
        }
        #expect(code(.endpoints(keys: good, revocations: good, feedKeys: keys)) == nil)
        #expect(code(.endpoints(keys: bad, revocations: good, feedKeys: keys)) == .invalidEndpoint)
        #expect(code(.endpoints(keys: good, revocations: bad, feedKeys: keys)) == .invalidEndpoint)
        for text in ["", "{}", "{\"keys\":[]}", keys + "x"] {
            #expect(code(.endpoints(keys: good, revocations: good, feedKeys: text)) == .invalidFeedKey)
        }
        #expect(
            code(.mirror(keys: good, revocations: good, pinned: keys, clockError: .seconds(61))) == .invalidStaleness)
        #expect(code(.mirror(keys: good, revocations: good, pinned: keys, clockError: .seconds(1))) == nil)
    }

    @Test func `a position that is none is refused, one that does not come times out`() async throws {
        try await FakeIssuer.run { it in
            try await Verifier.following(it) { verifier in
                await #expect(throws: VerifierError(.invalidPosition, "this is no position of the revocation list")) {
                    try await verifier.waitUntilApplied("x", within: .seconds(1))
                }
                try await verifier.waitUntilApplied(it.position, within: .seconds(1))
                let ahead = it.position.replacing(".0.", with: ".9.")
                await #expect(throws: VerifierError(.timedOut, "the position was not applied in time")) {
                    try await verifier.waitUntilApplied(ahead, within: .milliseconds(100))
                }
            }
        }
    }
}
