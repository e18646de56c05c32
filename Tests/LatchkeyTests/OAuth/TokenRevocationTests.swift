import JOSE
import Latchkey
import LatchkeyTesting
import Logging
import Postgres
import Testing

@Suite("Revoking a token")
struct TokenRevocationTests {
    @Test("by an access token refuses that one alone, here at once and elsewhere soon")
    func accessToken() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let next = try await it.node.refresh(born.refresh)
            let answer = try await it.node.revoke(born.access)
            #expect(answer.status == 200)
            #expect(answer.body.isEmpty)
            #expect(answer.header("latchkey-position") != nil)
            #expect(try await it.node.admits(born) == false)
            #expect(try await becomesTrue { try await it.nodes[1].admits(born) == false })
            // Its session lives.
            for node in it.nodes { #expect(try await node.admits(next)) }
            #expect(try await it.node.refresh(next.refresh).status == 200)
            #expect(try await it.listed(born.tokenID) == 1)
            #expect(try await it.audited("token.revoked", "token:\(born.tokenID.text)") == 1)
        }
    }

    @Test("twice makes the list no longer, on either node")
    func twice() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let first = try await it.node.revoke(born.access)
            #expect(try await becomesTrue { try await it.nodes[1].admits(born) == false })
            for node in it.nodes {
                let again = try await node.revoke(born.access)
                #expect(again.status == 200)
                #expect(again.header("latchkey-position") == first.header("latchkey-position"))
            }
            #expect(try await it.listed() == 1)
        }
    }

    @Test("reaches the other node within 100 ms, by the median of many")
    func latency() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            _ = try await it.node.newUser("alice")
            var spent: [Duration] = []
            for _ in 0..<15 {
                let tokens = try await it.node.logIn("alice")
                #expect(try await it.nodes[1].admits(tokens))
                #expect(try await it.node.revoke(tokens.refresh).status == 200)
                let start = ContinuousClock.now
                #expect(try await it.node.admits(tokens) == false)
                #expect(try await becomesTrue { try await it.nodes[1].admits(tokens) == false })
                spent.append(ContinuousClock.now - start)
            }
            let median = spent.sorted()[spent.count / 2]
            print("a revocation reaches the other node after \(median) (median of \(spent.count))")
            // The promise is 100 ms on an idle machine; the tests share this one with each other.
            #expect(median < .milliseconds(500))
        }
    }

    @Test("that has expired is 200 and writes nothing")
    func expired() async throws {
        try await TestInstallation.run(
            settings: {
                $0.accessTokenTTL = 1
                $0.keys.leeway = 0
            },
            { it in
                let born = try await it.node.newUser("alice")
                #expect(try await becomesTrue { try await it.node.admits(born) == false })
                let answer = try await it.node.revoke(born.access)
                #expect(answer.status == 200)
                #expect(answer.header("latchkey-position") == nil)
                #expect(try await it.listed() == 0)
                #expect(try await it.audited("token.revoked", "token:\(born.tokenID.text)") == 0)
            })
    }

    @Test("that is not ours is 200 and writes nothing (RFC 7009 §2.2)")
    func foreign() async throws {
        // Of another installation: the same issuer, other keys.
        let theirs = try await TestInstallation.run { try await $0.node.newUser("alice") }
        try await TestInstallation.run { it in
            let ours = try await it.node.newUser("alice")
            let parts = ours.access.split(separator: ".").map(String.init)
            let texts = [
                theirs.access, theirs.refresh, "nonsense", "lkr1.AAAA", "..", "a.b.c",
                "\(parts[0]).\(parts[1]).", "\(parts[0]).\(parts[1]).\(parts[2].dropLast(4))AAAA",
            ]
            for text in texts {
                let answer = try await it.node.revoke(text)
                #expect(answer.status == 200, "\(text)")
                #expect(answer.header("latchkey-position") == nil, "\(text)")
            }
            #expect(try await it.listed() == 0)
            #expect(try await it.node.admits(ours))
        }
    }

    /// Another node signs by a key that this one has not read yet.
    @Test("whose key this node has not read yet is listed, or 503 where the keys cannot be read")
    func unreadKey() async throws {
        try await TestInstallation.run { it in
            let (tokens, others) = (try await it.node.newUser("alice"), try await it.node.newUser("bob"))
            func expectUnread(
                _ body: (Installation) async throws -> Void
            ) async throws {
                // One that does not tick by itself.
                let late = Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                defer { late.close() }
                try await it.database.query("UPDATE signing_keys SET compromised_at = clock_timestamp()")
                try await late.readOnce()
                try await it.database.query("UPDATE signing_keys SET compromised_at = NULL")
                try await body(late)
            }
            try await expectUnread { late async throws in
                let position = try await late.tokens.revoke(
                    tokens.access, of: nil, reason: nil, origin: Origin(actor: "test"))
                #expect(position?.seq == 1)
                #expect(try await it.listed(tokens.tokenID) == 1)
                #expect(try await becomesTrue { try await it.node.admits(tokens) == false })
            }
            try await expectUnread { late async throws in
                late.database.shutDown()
                await #expect(throws: PostgresError.self) {
                    try await late.tokens.revoke(others.access, of: nil, reason: nil, origin: Origin(actor: "test"))
                }
                #expect(try await it.listed() == 1)
            }
        }
    }

    @Test("whose key nobody knows costs the database one reading a second, however many come")
    func forgedKeys() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            let rest = tokens.access.split(separator: ".").dropFirst().joined(separator: ".")
            let database = it.node.installation.database
            let before = try await database.load().pooledStatements
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<60 {
                    group.addTask {
                        let kid = String(repeating: "k", count: 40) + "\(100 + number)"
                        let header = Base64URL.encode(Array(#"{"alg":"RS256","kid":"\#(kid)","typ":"at+jwt"}"#.utf8))
                        let answer = try await it.node.revoke("\(header).\(rest)")
                        #expect(answer.status == 200)
                        #expect(answer.header("latchkey-position") == nil)
                    }
                }
                try await group.waitForAll()
            }
            // Four statements a reading; the rest is the node's own housekeeping.
            let seconds = UInt64((ContinuousClock.now - start).components.seconds)
            #expect(try await database.load().pooledStatements - before < 40 + 8 * seconds)
            #expect(try await it.listed() == 0)
        }
    }

    static let refusals: [(String, [(String, String)], Int, String)] = [
        ("no token", [], 400, "invalid_request"),
        ("an empty token", [("token", "")], 400, "invalid_request"),
        ("two tokens", [("token", "x"), ("token", "y")], 400, "invalid_request"),
        ("another client", [("token", "x"), ("client_id", "another")], 401, "invalid_client"),
    ]

    @Test("is refused where the request is not one")
    func refusals() async throws {
        try await TestInstallation.run { it in
            for (name, form, status, error) in Self.refusals {
                let answer = try await it.node.form("/oauth2/revoke", form)
                #expect(answer.status == status, "\(name)")
                #expect(answer["error"] == error, "\(name)")
            }
        }
    }

    @Test("puts positions in the order of commits, without a gap, however many revoke at once")
    func densePositions() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            _ = try await it.node.newUser("alice")
            var sessions: [TestNode.Answer] = []
            for _ in 0..<60 { sessions.append(try await it.node.logIn("alice")) }
            let positions = try await withThrowingTaskGroup(of: String.self) { group in
                for (number, tokens) in sessions.enumerated() {
                    // Half of them by their access token: entries of both kinds.
                    let text = number % 3 == 0 ? tokens.access : tokens.refresh
                    group.addTask { try await it.nodes[number % 2].revoke(text).header("latchkey-position") ?? "" }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(positions.compactMap { FeedPosition(word: $0)?.seq }) == Set(1...60))
            for node in it.nodes {
                #expect(await becomesTrue { node.installation.revocations.position?.seq == 60 })
                #expect(node.installation.revocations.count == 60)
            }
        }
    }
}
