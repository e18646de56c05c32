import Foundation
import JOSE
import LatchkeyTesting
import Postgres
import Synchronization
import Testing

/// `latchkey serve`: several nodes on one database.
@Suite struct ServeTests {
    @Test func `A second node on the DIR of a dev refuses what the first has revoked, and the other way round`()
        async throws
    {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev in
                let port = FreePort.next()
                let node = try await LatchkeyBinary.start(["serve", "--data", folder.path, "--port", "\(port)"])
                #expect(try await node.line(after: "ready: ") == "http://127.0.0.1:\(port)")
                let second = Site(port: port)
                #expect(try await second.keyIDs() == dev.site.keyIDs())
                let metadata = try await second.get("/.well-known/openid-configuration").json
                #expect(metadata["issuer"]?.string == dev.site.issuer, "every node of a DIR has the issuer of its dev")

                for (one, other) in [(dev.site, second), (second, dev.site)] {
                    let login = try await one.newUser("user\(one.port)")
                    #expect(try await other.account(login["access_token"]) == 200)
                    #expect(try await one.revoke(login["access_token"]).status == 200)
                    #expect(try await other.refusesSoon(login["access_token"]))

                    let refreshed = try await other.refresh(login["refresh_token"])
                    #expect(try await one.account(refreshed["access_token"]) == 200)
                    #expect(try await one.revoke(refreshed["refresh_token"]).status == 200)
                    #expect(try await other.refusesSoon(refreshed["access_token"]))
                    #expect(try await other.refresh(refreshed["refresh_token"])["error"] == "invalid_grant")
                }

                node.send(SIGTERM)
                #expect(try await node.end(within: 20).exit == .code(0))
                #expect(try await dev.site.get("/readyz").status == 200)
            }
        }
    }

    @Test func `Nodes that start at once on an empty installation found its keys once`() async throws {
        try await ServeGround.run { ground in
            try await ground.withNodes(3) { nodes in
                let keyIDs = try await nodes[0].site.keyIDs()
                #expect(keyIDs.count == 3)
                for node in nodes { #expect(try await node.site.keyIDs() == keyIDs) }
            }
        }
    }

    /// A client as the rules ask: it keeps its newest refresh token, and asks another node where one does not answer.
    private struct Client {
        var token: String
        /// Every token it was handed, in order.
        var tokens: [String]

        init(_ token: String) {
            (self.token, tokens) = (token, [token])
        }

        /// One rotation. The same token is sent again until a node answers: an answer may have been lost.
        mutating func refresh(_ sites: [Site], startingWith first: Int) async throws {
            // Less than the grace: within it every repeat is answered with the same successor.
            let limit = ContinuousClock.now + .seconds(20)
            var next = first
            while ContinuousClock.now < limit {
                let site = sites[next % sites.count]
                next += 1
                let answer = try? await Site.$asksAgain.withValue(false) { try await site.refresh(token) }
                // 503: a node that is starting, or has lost the database.
                guard let answer, answer.status != 503 else {
                    try await Task.sleep(for: .milliseconds(20))
                    continue
                }
                try #require(answer.status == 200, "logged out: \(answer.json)")
                token = answer["refresh_token"]
                tokens.append(token)
                return
            }
            Issue.record("no node has answered")
        }
    }

    private final class Arrivals: Sendable {
        private let missing: Mutex<Int>

        init(of count: Int) { missing = Mutex(count) }

        func isLast() -> Bool {
            missing.withLock { missing in
                missing -= 1
                return missing == 0
            }
        }
    }

    @Test func `Kill -9 of a node amid refreshes logs nobody out and leaves one live leaf each`() async throws {
        try await ServeGround.run { ground in
            try await ground.withNodes(2) { nodes in
                let sites = nodes.map(\.site)
                let (clientCount, before, after) = (6, 4, 6)
                let arrivals = Arrivals(of: clientCount)
                let clients = try await withThrowingTaskGroup(of: Client.self) { group in
                    for number in 0..<clientCount {
                        group.addTask {
                            var client = Client(try await sites[0].newUser("user\(number)")["refresh_token"])
                            // Everybody prefers the node that is about to die.
                            for _ in 0..<before { try await client.refresh(sites, startingWith: 0) }
                            // The last to come this far kills it while the others go on.
                            if arrivals.isLast() { nodes[0].process.send(SIGKILL) }
                            for _ in 0..<after { try await client.refresh(sites, startingWith: 0) }
                            return client
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(try await nodes[0].process.end().exit == .signal(SIGKILL))

                for client in clients {
                    let generations = try client.tokens.map { try generation($0) }
                    // A lost answer is repeated, so none is skipped or handed out in two forms.
                    #expect(generations == Array(1...UInt32(1 + before + after)))
                    #expect(try await sites[1].refresh(client.token).status == 200)
                }
                try await ground.withDatabase { database in
                    let sessions = try await database.query("SELECT gen, ended_at IS NULL AS lives FROM sessions")
                    #expect(sessions.count == clientCount)
                    for row in sessions.rows {
                        #expect(try row.decode("lives", as: Bool.self))
                        #expect(try row.decode("gen", as: Int64.self) == Int64(2 + before + after))
                    }
                    #expect(try await database.query("SELECT FROM revocation_entries").count == 0)
                }
            }
        }
    }

    /// The generation that a refresh token carries: bytes 20 to 24 of what follows `lkr1.`.
    private func generation(_ token: String) throws -> UInt32 {
        let bytes = try #require(Base64URL.decode(token.utf8.dropFirst(5)))
        return bytes[20..<24].reduce(0) { $0 << 8 | UInt32($1) }
    }

    @Test func `Killed amid refreshes and started again on the same port, a node goes on with its clients`()
        async throws
    {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let site = nodes[0].site
                var client = Client(try await site.newUser("ada")["refresh_token"])
                let access = try await site.logIn("ada")["access_token"]
                let revoked = try await site.logIn("ada")["access_token"]
                #expect(try await site.revoke(revoked).status == 200)
                try await client.refresh([site], startingWith: 0)
                nodes[0].process.send(SIGKILL)
                try await nodes[0].process.end()

                let again = try await ground.start(port: site.port)
                _ = try await again.process.line(after: "ready: ")
                try await client.refresh([site], startingWith: 0)
                #expect(try await site.account(access) == 200)
                #expect(try await site.account(revoked) == 401)
                again.process.send(SIGINT)
                #expect(try await again.process.end(within: 20).exit == .code(0))
            }
        }
    }
}
