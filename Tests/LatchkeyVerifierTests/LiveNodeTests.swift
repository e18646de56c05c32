import JOSE
import Latchkey
import LatchkeyTesting
import Logging
import Metrics
import NIOHTTP1
import Testing

@testable import LatchkeyVerifier

extension TestInstallation {
    /// A verifier of this installation's tokens that reads its first node through a relay, while `body` runs.
    func verified(
        staleAfter limit: Duration = .seconds(30), whenStale: StalePolicy = .refuse,
        _ body: @Sendable (Verifier, LoopbackRelay) async throws -> Void
    ) async throws {
        let discovery = try await node.get("/.well-known/openid-configuration").json
        let feedKeys = try #require(discovery["latchkey_revocations_jwks"])
        let relay = try LoopbackRelay(to: node.port)
        defer { relay.close() }
        let base = "http://127.0.0.1:\(relay.port)"
        let verifier = try Verifier(
            issuer: settings.issuer, audience: settings.issuer, staleAfter: limit, whenStale: whenStale,
            source: .endpoints(
                keys: "\(base)/.well-known/jwks.json", revocations: "\(base)/revocations",
                feedKeys: String(decoding: feedKeys.encoded(), as: UTF8.self)),
            name: "journey", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await verifier.run() }
            defer { group.cancelAll() }
            try await verifier.waitUntilReady(within: .seconds(30))
            try await body(verifier, relay)
        }
    }
}

@Suite("A verifier that follows a living node")
struct LiveNodeTests {
    private static func position(_ answer: TestNode.Answer) throws -> String {
        try #require(answer.headers.first(name: "latchkey-position"), "\(answer.status)")
    }

    @Test func `refuses what was revoked on any node, in every way, once its position is applied`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            try await it.verified { verifier, _ in
                let administrator = try await it.node.administrator()
                #expect(try await verifier.verify(administrator).has(role: "admin"))
                for (number, node) in it.nodes.enumerated() {
                    // An access token alone, by `jti`: its session lives on.
                    let user = try await node.newUser("user\(number)")
                    let (access, refresh) = (user["access_token"], user["refresh_token"])
                    #expect(await verifier.rejection(access) == nil)
                    try await verifier.waitUntilApplied(
                        try Self.position(try await node.revoke(access)), within: .seconds(10))
                    #expect(await verifier.rejection(access) == .revoked)
                    let next = try await node.refresh(refresh)
                    #expect(await verifier.rejection(next["access_token"]) == nil)
                    // The session, by `sid`.
                    try await verifier.waitUntilApplied(
                        try Self.position(try await node.revoke(next["refresh_token"])), within: .seconds(10))
                    #expect(await verifier.rejection(next["access_token"]) == .revoked)
                    // A log out.
                    let again = try await node.logIn("user\(number)")
                    #expect(await verifier.rejection(again["access_token"]) == nil)
                    try await verifier.waitUntilApplied(
                        try Self.position(try await node.post("/auth/logout", bearer: again["access_token"])),
                        within: .seconds(10))
                    #expect(await verifier.rejection(again["access_token"]) == .revoked)
                }
                #expect(await verifier.rejection(administrator) == nil)
                #expect(verifier.status.revocations == 6)
            }
        }
    }

    @Test func `hears of a hundred revocations within a second each`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            try await it.verified { verifier, _ in
                let user = try await it.nodes[1].newUser("many")
                var tokens: [String] = []
                var refresh = user["refresh_token"]
                for _ in 0..<100 {
                    let answer = try await it.nodes[1].refresh(refresh)
                    tokens.append(answer["access_token"])
                    refresh = answer["refresh_token"]
                }
                var delays: [Duration] = []
                for token in tokens {
                    #expect(await verifier.rejection(token) == nil)
                    var answer = try await it.nodes[1].revoke(token)
                    // A machine busy with other tests.
                    while answer.status == 503 { answer = try await it.nodes[1].revoke(token) }
                    let begin = ContinuousClock.now
                    try await verifier.waitUntilApplied(try Self.position(answer), within: .seconds(10))
                    delays.append(.now - begin)
                    #expect(await verifier.rejection(token) == .revoked)
                }
                delays.sort()
                print("revoked on another node, applied here: p50 \(delays[50]), p99 \(delays[98])")
                #expect(delays[98] < .seconds(1))
            }
        }
    }

    @Test(
        "never accepts a revoked token past its limit, whatever happens to the feed, and heals",
        arguments: [LoopbackRelay.Mode.cut, .held, .slow(milliseconds: 4000)])
    func interruptions(mode: LoopbackRelay.Mode) async throws {
        try await TestInstallation.run { it in
            try await it.verified(staleAfter: .seconds(3)) { verifier, relay in
                let user = try await it.node.newUser("ada")
                let other = try await it.node.newUser("bob")
                let access = user["access_token"]
                #expect(await verifier.rejection(access) == nil)
                relay.set(mode)
                #expect(try await it.node.revoke(access).status == 200)
                let revoked = ContinuousClock.now
                var verdicts: [TokenRejection?] = []
                while ContinuousClock.now - revoked < .seconds(6) {
                    let asked = ContinuousClock.now
                    verdicts.append(await verifier.rejection(access))
                    if verdicts.last == .some(nil) { #expect(asked - revoked <= .seconds(3)) }
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(verdicts.last == .stale || verdicts.last == .revoked)
                if mode != .slow(milliseconds: 4000) {
                    #expect(await verifier.rejection(other["access_token"]) == .stale)
                }
                relay.set(.open)
                #expect(await becomesTrue(within: .seconds(20)) { await verifier.rejection(access) == .revoked })
                #expect(
                    await becomesTrue(within: .seconds(20)) { await verifier.rejection(other["access_token"]) == nil })
            }
        }
    }

    @Test func `goes on with another node where its own is gone`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            try await it.verified(staleAfter: .seconds(3)) { verifier, relay in
                let user = try await it.nodes[1].newUser("ada")
                #expect(await verifier.rejection(user["access_token"]) == nil)
                relay.set(.cut)
                #expect(await becomesTrue { !verifier.status.isFresh })
                relay.lead(to: it.nodes[1].port)
                relay.set(.open)
                let position = try Self.position(try await it.nodes[1].revoke(user["access_token"]))
                try await verifier.waitUntilApplied(position, within: .seconds(10))
                #expect(await verifier.rejection(user["access_token"]) == .revoked)
                #expect(await becomesTrue { verifier.status.isFresh })
            }
        }
    }

    @Test func `gets its keys and tells who it is`() async throws {
        try await TestInstallation.run { it in
            try await it.verified { verifier, _ in
                let document = try await it.node.get("/.well-known/openid-configuration")
                let directions = try Directions(discovery: document.body, issuer: it.settings.issuer)
                #expect(directions.keys.text == "\(it.settings.issuer)/.well-known/jwks.json")
                #expect(directions.revocations.text == "\(it.settings.issuer)/revocations")
                #expect(directions.feedKeys.count > 0)
                let user = try await it.node.newUser("ada")
                let token = try await verifier.verify(user["access_token"])
                #expect(token.subject != "" && token.has(scope: "account"))
                // For another audience it is none.
                let other = try Verifier(
                    issuer: it.settings.issuer, audience: "https://api.example", staleAfter: .seconds(3),
                    whenStale: .refuse)
                #expect(await other.rejection(user["access_token"]) == .stale)
            }
        }
    }
}
