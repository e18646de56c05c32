import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

@Suite("A status list")
struct StatusListTests {
    private static func list(
        _ node: TestNode, _ reference: Reference, _ headers: [(String, String)] = []
    ) async throws -> TestNode.Answer {
        try await node.send(
            .GET, String(reference.uri.dropFirst(node.installation.settings.issuer.count)), headers: headers)
    }

    @Test func `is named by every token of a session and of a client, and signed as tokens are`() async throws {
        try await TestInstallation.withStatusLists { it in
            let born = try await it.node.newUser("alice")
            let place = try #require(try Reference(born))
            #expect(place.uri.hasPrefix(it.settings.issuer + "/status-lists/"))
            // One bit for all tokens of the session, and one that its id says.
            let refreshed = try await it.node.refresh(born.refresh)
            #expect(try Reference(refreshed) == place)
            let status = try #require(StatusIndex(of: try born.sid))
            #expect(place.index == Int64(status.index) && place.uri.hasSuffix("/\(status.list.text)"))
            let second = try await it.node.logIn("alice")
            #expect(try Reference(second) != place)

            let client = try await it.node.newClient(try await it.node.administrator(), scope: "orders:read")
            let own = try #require(try Reference(try await client.token(it.node)))
            #expect(own.uri != place.uri)
            #expect(try Reference(try await client.token(it.node)) == own)

            for reference in [place, own] {
                let list = try await ReceivedStatusList(try await Self.list(it.node, reference), it.node)
                #expect(list.header.keyID == (try born.signer))
                #expect(list.header.type == "statuslist+jwt")
                #expect(
                    Set(list.claims.members.map(\.name)) == ["sub", "iat", "exp", "ttl", "status_list"])
                #expect(list.claims["sub"]?.string == reference.uri)
                let issued = try #require(list.claims["iat"]?.int)
                #expect(list.claims["exp"]?.int == issued + 180)
                #expect(list.claims["ttl"]?.int == 60)
                let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
                #expect((now.seconds - 4...now.seconds).contains(issued))
                let inner = try #require(list.claims["status_list"]?.object)
                #expect(inner["aggregation_uri"]?.string == it.settings.issuer + "/status-lists")
                #expect(list.bits.count == 131_072 && list.count == 0)
            }
        }
    }

    @Test func `is cacheable, conditional, and for scripts of every origin`() async throws {
        try await TestInstallation.withStatusLists(settings: { $0.statusList.ttl = 7 }) { it in
            let reference = try #require(try Reference(try await it.node.newUser("alice")))
            let answer = try await Self.list(it.node, reference)
            #expect(answer.header("cache-control") == "public, max-age=7")
            #expect(answer.header("access-control-allow-origin") == "*")
            let etag = try #require(answer.header("etag"))
            // The list is signed anew each second.
            let isUnchanged = try await becomesTrue {
                let etag = try #require(try await Self.list(it.node, reference).header("etag"))
                let again = try await Self.list(it.node, reference, [("if-none-match", etag)])
                return again.status == 304 && again.body.isEmpty && again.header("etag") == etag
            }
            #expect(isUnchanged)
            #expect(
                try await becomesTrue {
                    try await Self.list(it.node, reference, [("if-none-match", etag)]).status == 200
                })
            let list = try await ReceivedStatusList(try await Self.list(it.node, reference), it.node)
            #expect(try #require(list.claims["exp"]?.int) - #require(list.claims["iat"]?.int) == 21)
            let path = String(reference.uri.dropFirst(it.settings.issuer.count))
            let head = try await it.node.send(.HEAD, path)
            #expect(head.status == 200 && head.header("content-type") == "application/statuslist+jwt")
            let preflight = try await it.node.send(
                .OPTIONS, path,
                headers: [("origin", "https://a.example"), ("access-control-request-method", "GET")])
            #expect(preflight.header("access-control-allow-origin") == "*")
            #expect(try await it.node.post(path).status == 405)
        }
    }

    /// Refused, whatever else is right about it.
    @Test func `of another name, another time or no such installation is none`() async throws {
        try await TestInstallation.withStatusLists { it in
            let reference = try #require(try Reference(try await it.node.newUser("alice")))
            let path = String(reference.uri.dropFirst(it.settings.issuer.count))
            #expect(try await it.node.get(path).status == 200)
            for name in [
                "00000000", "ffffffff", path.suffix(8).uppercased() + "0", "x", "0", "..%2f", "-0000001",
            ] {
                let answer = try await it.node.get("/status-lists/\(name)")
                #expect(answer.status == 404 && answer["code"] == "not-found", "\(name)")
            }
            // draft §8.4: a list as it was is not to be had.
            let past = try await it.node.get("\(path)?time=1686925000")
            #expect(past.status == 501 && past["code"] == "not-implemented")
            #expect(try await it.node.get("\(path)?time=1&time=2").status == 400)
            #expect(try await it.node.get("\(path)?other=1").status == 200)
        }
    }

    @Test func `is not there where the setting is off, and no token names one`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try Reference(tokens) == nil)
            let client = try await it.node.newClient(try await it.node.administrator(), scope: "orders:read")
            #expect(try Reference(try await client.token(it.node)) == nil)
            let document = try await it.node.get("/.well-known/oauth-authorization-server").json
            #expect(document["status_list_aggregation_endpoint"] == nil)
            // Bits are given all the same: whoever switches it on later need not end sessions.
            let status = try #require(StatusIndex(of: try tokens.sid))
            for path in ["/status-lists", "/status-lists/\(status.list.text)"] {
                let answer = try await it.node.get(path)
                #expect(answer.status == 404 && answer["code"] == "not-found")
            }
        }
    }

    @Test func `is named with the others where discovery says`() async throws {
        try await TestInstallation.withStatusLists(nodes: 2) { it in
            let client = try await it.node.newClient(try await it.node.administrator(), scope: "orders:read")
            let named = [
                try #require(try Reference(try await it.node.newUser("alice"))).uri,
                try #require(try Reference(try await client.token(it.node))).uri,
            ]
            for node in it.nodes {
                let document = try await node.get("/.well-known/openid-configuration").json
                #expect(document["status_list_aggregation_endpoint"]?.string == it.settings.issuer + "/status-lists")
                let first = try await node.get("/status-lists")
                #expect(first.status == 200 && first.header("content-type") == "application/json")
                #expect(first.header("access-control-allow-origin") == "*")
                #expect(first.json.members.count == 1)
                // Looked for once a second.
                let areNamed = try await becomesTrue {
                    let lists = try await node.get("/status-lists").json["status_lists"]?.strings ?? []
                    return Set(lists) == Set(named) && lists.count == named.count
                }
                #expect(areNamed)
            }
        }
    }

    @Test func `tells no verifier of access tokens that it is one`() async throws {
        try await TestInstallation.withStatusLists { it in
            let tokens = try await it.node.newUser("alice")
            let reference = try #require(try Reference(tokens))
            let token = String(decoding: try await Self.list(it.node, reference).body, as: UTF8.self)
            #expect(token.split(separator: ".").count == 3)
            let bearer = try await it.node.get("/account", bearer: token)
            #expect(bearer.status == 401 && bearer["code"] == "invalid-token")
            #expect(throws: (any Error).self) { try it.node.installation.judge.inspect(token) }
            await #expect(throws: (any Error).self) { try await it.node.installation.judge.recognise(token) }
            // RFC 7009 §2.2: whatever it is, it is revoked, and nothing is.
            let seq = it.node.installation.revocations.position?.seq
            #expect(try await it.node.revoke(token).status == 200)
            #expect(it.node.installation.revocations.position?.seq == seq)
            #expect(try await it.node.get("/account", bearer: tokens.access).status == 200)
        }
    }

    @Test func `is signed by the key whose time it is`() async throws {
        try await TestInstallation.withStatusLists { it in
            let administrator = try await it.node.administrator()
            let tokens = try await it.node.newUser("alice")
            let reference = try #require(try Reference(tokens))
            let before = try await ReceivedStatusList(try await Self.list(it.node, reference), it.node)
            #expect(before.header.keyID == (try tokens.signer))
            let rotated = try await it.node.post("/admin/keys/rotate", ["reason": "a test"], bearer: administrator)
            #expect(rotated.status == 202)
            #expect(
                try await becomesTrue(within: .seconds(15)) {
                    let list = try await ReceivedStatusList(try await Self.list(it.node, reference), it.node)
                    return list.header.keyID == rotated["kid"]
                })
        }
    }

    @Test func `holds a bit from the revocation to the death of the last token, on a node that has just started too`()
        async throws
    {
        try await TestInstallation.withStatusLists { it in
            let (revoked, other) = (try await it.node.newUser("alice"), try await it.node.newUser("bob"))
            let (bit, clear) = (try #require(try Reference(revoked)), try #require(try Reference(other)))
            #expect(try await it.node.revoke(revoked.refresh).status == 200)
            // A token alone has no bit: the session goes on.
            #expect(try await it.node.revoke(other.access).status == 200)
            #expect(try await becomesTrue { try await bit.isSet(it.node) == true })
            #expect(try await clear.isSet(it.node) == false)

            let late = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            do {
                #expect(try await bit.isSet(late) == true)
                #expect(try await clear.isSet(late) == false)
                let list = try await ReceivedStatusList(try await Self.list(late, bit), late)
                #expect(list.count == 1)
                // It gives out bits of its own.
                let places = [
                    try Reference(try await late.logIn("alice")), try Reference(try await it.node.logIn("alice")),
                    bit, clear,
                ]
                #expect(Set(places).count == 4)
            } catch {
                await late.stop()
                throw error
            }
            await late.stop()

            // Its entry has expired: the next node knows nothing of it, and the token is dead by its `exp`.
            try await it.database.query(
                "UPDATE revocation_entries SET expires_at = clock_timestamp() - interval '1 second'")
            let later = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            #expect(try await bit.isSet(later) == false)
            await later.stop()
        }
    }

    @Test func `of sessions ends with a lost history, for a node that knew it too; those of clients stay`() async throws
    {
        try await TestInstallation.withStatusLists { it in
            let client = try await it.node.newClient(try await it.node.administrator(), scope: "orders:read")
            let session = try #require(try Reference(try await it.node.newUser("alice")))
            let own = try #require(try Reference(try await client.token(it.node)))
            for reference in [session, own] { #expect(try await Self.list(it.node, reference).status == 200) }
            @Sendable func named() async throws -> [String] {
                try await it.node.get("/status-lists").json["status_lists"]?.strings ?? []
            }
            #expect(try await becomesTrue { try await Set(named()) == [session.uri, own.uri] })

            _ = try await it.node.installation.lostHistory.begin(origin: Origin(actor: "test"))
            #expect(
                try await becomesTrue(within: .seconds(10)) {
                    try await Self.list(it.node, session).status == 404
                })
            #expect(try await named() == [own.uri])
            #expect(try await Self.list(it.node, own).status == 200)
            let born = try await becomes(within: .seconds(10)) {
                let place = try Reference(try await it.node.logIn("alice"))
                return place?.uri == session.uri ? nil : place
            }
            #expect(try await Self.list(it.node, #require(born)).status == 200)
        }
    }

    @Test(.eachAnswerCounts) func `is not served by a node that cannot prove that it is complete`() async throws {
        try await TestInstallation.withStatusLists { it in
            let relay = try Relay(to: it.connectionString)
            defer { relay.close() }
            let node = try await it.node(behind: relay)
            do {
                let tokens = try await node.newUser("alice")
                let reference = try #require(try Reference(tokens))
                #expect(try await reference.isSet(node) == false)
                relay.set(.held)
                #expect(try await it.node.revoke(tokens.refresh).status == 200)
                #expect(
                    try await becomesTrue(within: .seconds(10)) {
                        let answer = try await Self.list(node, reference)
                        return answer.status == 503 && answer.header("retry-after") != nil
                    })
                #expect(try await reference.isSet(it.node) == true)
                relay.set(.open)
                #expect(
                    try await becomesTrue(within: .seconds(15)) {
                        let answer = try await Self.list(node, reference)
                        guard answer.status == 200 else { return false }
                        return try await ReceivedStatusList(answer, node).isSet(reference.index) == true
                    })
            } catch {
                await node.stop()
                throw error
            }
            await node.stop()
        }
    }
}
