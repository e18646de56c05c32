import EmbeddedPostgres
import JOSE
import Latchkey
import LatchkeyTesting
import LatchkeyVerifier
import Logging
import Testing

/// What a node still answers while PostgreSQL is gone, and what not: route by route.
@Suite("A node whose database is gone", .timeLimit(.minutes(5)), .eachAnswerCounts)
struct DegradedModeTests {
    @Test func `is called here by every route that needs it`() async throws {
        try await TestInstallation.run { it in
            let called = try await DegradedCall.all(on: it.node).map(\.route)
            let known = Set(called).union(DegradedCall.local)
            let served = try OpenAPITests.routes()
            #expect(called.count == Set(called).count)
            #expect(served.subtracting(known).map(\.description).sorted() == [], "give it a line in `DegradedCall`")
            #expect(known.subtracting(served).map(\.description).sorted() == [])
        }
    }

    @Test func `grants nothing and carries nothing out, and does all of it once the database is back`() async throws {
        try await Self.run { it, cluster, node in
            let calls = try await DegradedCall.all(on: node)
            await cluster.server.stopImmediately()
            // At once, while its list is fresh and it still admits bearers; and when it knows that it is stale.
            try await refused(calls, node)
            #expect(try await becomesTrue { try await node.get("/readyz").status == 503 })
            try await refused(calls, node)
            try await local(node)

            try await cluster.server.restart()
            let start = ContinuousClock.now
            #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
            // What was answered 503 has not happened: each can be done now, in turn, by the same process.
            for call in calls {
                let answer = try await call.send(to: node)
                #expect(answer.status == call.success, "\(call.route): \(answer["detail"])")
                if call.route == calls.first?.route { #expect(ContinuousClock.now - start < .seconds(5)) }
            }
        }
    }

    private func refused(_ calls: [DegradedCall], _ node: TestNode) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for call in calls {
                group.addTask {
                    let start = ContinuousClock.now
                    let answer = try await call.send(to: node)
                    let spent = ContinuousClock.now - start
                    #expect(answer.status == 503, "\(call.route)")
                    #expect(answer.header("retry-after") != nil, "\(call.route)")
                    #expect(spent < answerLimit, "\(call.route)")
                }
            }
            try await group.waitForAll()
        }
    }

    private func local(_ node: TestNode) async throws {
        let start = ContinuousClock.now
        for path in [
            "/livez", "/.well-known/jwks.json", "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
        ] { #expect(try await node.get(path).status == 200, "\(path)") }
        let ready = try await node.get("/readyz")
        #expect(ready.status == 503)
        #expect(ready.header("retry-after") != nil)
        #expect(ready.json["checks"]?.object?["revocations"]?.string?.hasPrefix("stale") == true)
        // The list is served with its age in it, for whoever has a use for an old one.
        let list = try await node.get("/revocations?nonce=0123456789abcdef")
        #expect(list.status == 200)
        #expect((list.json["now"]?.int ?? 0) - (list.json["as_of"]?.int ?? 0) >= 2_000)
        #expect(ContinuousClock.now - start < answerLimit)
    }

    // MARK: tokens of keys that nobody knows

    /// Anybody may send one, and as many as he likes: only the keys tell whose it is, and they cannot be read.
    @Test func `lets nobody wait long for a key that it does not know, and no crowd at all`() async throws {
        try await Self.run { it, cluster, node in
            let rest = try await node.newUser("alice").access.split(separator: ".").dropFirst().joined(separator: ".")
            // Frozen, not stopped: no connection is refused, and the node's list is fresh for two seconds more.
            cluster.freeze()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 10..<20 {
                    group.addTask {
                        let kid = String(repeating: "k", count: 41) + "\(number)"
                        let header = Base64URL.encode(Array(#"{"alg":"RS256","kid":"\#(kid)","typ":"at+jwt"}"#.utf8))
                        let start = ContinuousClock.now
                        let answer = try await node.revoke("\(header).\(rest)")
                        #expect(answer.status == 503)
                        #expect(answer.header("retry-after") != nil)
                        #expect(ContinuousClock.now - start < answerLimit)
                    }
                }
                try await group.waitForAll()
            }
            let ring = node.installation.ring
            let waits = await withTaskGroup(of: Duration?.self) { group in
                for _ in 0..<80 {
                    group.addTask {
                        let start = ContinuousClock.now
                        do { try await ring.readAgain() } catch { return ContinuousClock.now - start }
                        return nil
                    }
                }
                return await group.reduce(into: [Duration]()) { if let wait = $1 { $0.append(wait) } }
            }
            #expect(waits.count == 80)
            #expect(waits.allSatisfy { $0 < answerLimit })
            // Those for whom there was no room any more.
            #expect(waits.count { $0 < .milliseconds(500) } >= 16)
            // And once it answers again, none of that is left.
            cluster.thaw()
            #expect(await becomesTrue { (try? await ring.readAgain()) != nil })
        }
    }

    // MARK: whoever verifies offline

    @Test func `leaves its verifiers what they know: one fails closed, one open, and both heal`() async throws {
        try await Self.run { it, cluster, node in
            let feedKeys = try #require(
                try await node.get("/.well-known/openid-configuration").json["latchkey_revocations_jwks"])
            func verifier(_ policy: StalePolicy) throws -> Verifier {
                let base = "http://127.0.0.1:\(node.port)"
                return try Verifier(
                    issuer: it.settings.issuer, audience: it.settings.issuer, staleAfter: .seconds(3),
                    whenStale: policy,
                    source: .endpoints(
                        keys: "\(base)/.well-known/jwks.json", revocations: "\(base)/revocations",
                        feedKeys: String(decoding: feedKeys.encoded(), as: UTF8.self)),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
            let (closed, open) = (try verifier(.refuse), try verifier(.accept))
            let good = try await node.newUser("alice").access
            let revoked = try await node.newUser("bob").access
            let follower = try await FeedFollower.follow(node)
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                for verifier in [closed, open] { group.addTask { try await verifier.run() } }
                let position = try #require(try await node.revoke(revoked).header("latchkey-position"))
                for verifier in [closed, open] {
                    try await verifier.waitUntilReady(within: .seconds(30))
                    try await verifier.waitUntilApplied(position, within: .seconds(10))
                    #expect(await Self.rejection(good, by: verifier) == nil)
                    #expect(await Self.rejection(revoked, by: verifier) == .revoked)
                }

                await cluster.server.stopImmediately()
                #expect(await becomesTrue { await Self.rejection(good, by: closed) == .stale })
                // Followers are told, and not left to guess by silence.
                #expect(await becomesTrue { follower.events("stale").count >= 2 })
                for verifier in [closed, open] {
                    #expect(await becomesTrue { !verifier.status.isFresh })
                    #expect(verifier.status.hasKeys)
                    #expect(await Self.rejection(revoked, by: verifier) == .revoked)
                }
                #expect(await Self.rejection(good, by: closed) == .stale)
                #expect(await Self.rejection(good, by: open) == nil)

                try await cluster.server.restart()
                let start = ContinuousClock.now
                for verifier in [closed, open] {
                    try await verifier.waitUntilReady(within: .seconds(30))
                    #expect(await Self.rejection(good, by: verifier) == nil)
                    #expect(await Self.rejection(revoked, by: verifier) == .revoked)
                }
                #expect(ContinuousClock.now - start < .seconds(5))
                let heard = follower.events.count
                #expect(
                    await becomesTrue {
                        follower.events.dropFirst(heard).contains { $0.id != nil } || follower.hasEnded
                    })
                #expect(!follower.hasEnded)
            }
            await follower.stop()
        }
    }

    private static func rejection(_ token: String, by verifier: Verifier) async -> TokenRejection? {
        do throws(TokenRejection) {
            _ = try await verifier.verify(token)
            return nil
        } catch {
            return error
        }
    }

    /// A node on a cluster of its own.
    private static func run(
        _ body: @escaping @Sendable (TestInstallation, OwnCluster, TestNode) async throws -> Void
    ) async throws {
        try await TestInstallation.run { it in
            try await OwnCluster.run(migrations: Migrations.all) { cluster in
                var settings = it.settings
                settings.databaseURL = cluster.connectionString
                let node = try await TestNode.start(
                    Installation(
                        settings, masterKeys: it.node.installation.masterKeys,
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
                let result: Result<Void, any Error>
                do { result = .success(try await body(it, cluster, node)) } catch { result = .failure(error) }
                cluster.thaw()
                await node.stop()
                try result.get()
            }
        }
    }
}
