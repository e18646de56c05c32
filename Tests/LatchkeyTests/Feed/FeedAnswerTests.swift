import JOSE
import LatchkeyTesting
import LibCrypto
import Logging
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

/// `GET /revocations`.
@Suite("The revocation list over HTTP")
struct FeedAnswerTests {
    private static let binary = [("accept", "application/vnd.latchkey.revocations")]

    @Test func `is whole, and holds what was just revoked`() async throws {
        try await TestInstallation.run { it in
            let empty = try ReceivedMessage(try await it.node.feed())
            try await empty.verify(it.node)
            #expect(empty.forms.isEmpty && empty["after"] == nil)

            let scene = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            #expect(try ReceivedMessage(try await it.node.feed()).ids == [try tokens.sid])
            let other = try await it.node.newUser("bob")
            #expect(try await it.node.revoke(other.access).status == 200)
            #expect(try ReceivedMessage(try await it.node.feed()).ids.count == 2)
            #expect(try await scene.compromise(kid).status == 202)

            let answer = try await it.node.feed()
            #expect(answer.header("cache-control") == "public, max-age=1")
            #expect(answer.header("vary") == "Accept, Accept-Encoding")
            let whole = try ReceivedMessage(answer)
            try await whole.verify(it.node)
            #expect(whole.keyIDs() == [kid])
            #expect(whole.forms.map { $0[0] } == [2, 1, 3])
            #expect(whole["epoch"]?.string.map { whole.position.hasPrefix("\($0).3.") } == true)
            #expect(whole["node"]?.string == it.node.installation.node.text)
            #expect(
                try await becomesTrue {
                    let answer = try ReceivedMessage(try await it.node.feed())
                    let (asOf, now) = (try #require(answer["as_of"]?.int), try #require(answer["now"]?.int))
                    return asOf <= now && now - asOf < 2_000
                })

            #expect(try await scene.restore(kid).status == 200)
            let lifted = try ReceivedMessage(try await it.node.feed())
            #expect(lifted.forms.map { $0[0] } == [2, 1])
        }
    }

    @Test func `says in JSON and in binary the same`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.access).status == 200)
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            let json = try ReceivedMessage(try await it.node.feed("?nonce=a"))
            let answer = try await it.node.feed("?nonce=a", Self.binary)
            #expect(answer.header("content-type") == "application/vnd.latchkey.revocations")
            let binary = try ReceivedMessage(answer)
            try await binary.verify(it.node)
            #expect(binary.forms == json.forms)
            #expect(binary.forms.count == 2)
            #expect(binary.position == json.position)
            // A list that was cut off is not taken for a shorter one.
            for length in [answer.body.count / 2, answer.body.count - 150] {
                #expect(throws: ReceivedMessage.CutOff.self) {
                    try ReceivedMessage(binary: Array(answer.body.prefix(length)))
                }
            }
        }
    }

    @Test func `expires when the last token of the entry can be alive nowhere`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            let entry = try #require(try await it.node.feed().json["entries"]?.array?.first?.object)
            let until: Instant = try await it.database.query("SELECT expires_at FROM revocation_entries").one()
                .decode("expires_at")
            #expect(entry["exp"]?.int == until.seconds + 1)
            #expect(entry["sid"]?.string == (try tokens.sid.text))

            try await it.database.query(
                "UPDATE revocation_entries SET expires_at = clock_timestamp() - interval '1 second'")
            let node = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            let later = try ReceivedMessage(try await node.feed())
            await node.stop()
            #expect(later.forms.isEmpty && later["count"] == 0)
        }
    }

    @Test func `with a nonce is made for the request, and stored nowhere`() async throws {
        try await TestInstallation.run { it in
            let nonce = String(repeating: "aZ09-_", count: 10) + "abcd"
            var nows: [Int64] = []
            for query in ["?nonce=\(nonce)", "?nonce=\(nonce)", "?after=\(try await position(it))&nonce=\(nonce)"] {
                let answer = try await it.node.feed(query)
                #expect(answer.header("cache-control") == "no-store")
                #expect(answer.header("etag") == nil)
                let message = try ReceivedMessage(answer)
                try await message.verify(it.node)
                #expect(message["nonce"]?.string == nonce)
                nows.append(try #require(message["now"]?.int))
            }
            #expect(nows == nows.sorted())
            #expect(try await it.node.feed().json["nonce"] == nil)
        }
    }

    private func position(_ it: TestInstallation) async throws -> String {
        try ReceivedMessage(try await it.node.feed()).position
    }

    @Test func `is not sent again to who has it`() async throws {
        try await TestInstallation.run { it in
            let first = try await it.node.feed()
            let etag = try #require(first.header("etag"))
            let second = try await it.node.feed("", [("if-none-match", etag)])
            // A second may have passed: then there is a new one, with a later claim.
            #expect(second.status == 304 || second.header("etag") != etag)
            if second.status == 304 { #expect(second.body.isEmpty && second.header("etag") == etag) }
            #expect(try await it.node.feed("", [("if-none-match", "\"other\"")]).status == 200)
            #expect(try await it.node.feed("", Self.binary + [("if-none-match", etag)]).status == 200)
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            #expect(try await it.node.feed("", [("if-none-match", etag)]).status == 200)
        }
    }

    @Test func `behind a position is what came after it`() async throws {
        try await TestInstallation.run { it in
            let positions = try await revoke(4, it)
            for (index, position) in positions.enumerated() {
                for headers in [[], Self.binary] {
                    let answer = try await it.node.feed("?after=\(position)", headers)
                    #expect(answer.header("cache-control") == "no-store")
                    let message = try ReceivedMessage(answer)
                    try await message.verify(it.node)
                    #expect(message["after"]?.string == position)
                    #expect(message.position == positions[4])
                    #expect(message.forms.count == 4 - index)
                }
            }
        }
    }

    /// - Returns: the positions before, between and after as many revocations.
    private func revoke(_ count: Int, _ it: TestInstallation) async throws -> [String] {
        var positions = [try await position(it)]
        for number in 0..<count {
            let tokens = try await it.node.newUser("user\(number)")
            let answer = try await it.node.revoke(tokens.refresh)
            positions.append(try #require(answer.header("latchkey-position")))
        }
        let last = positions[count]
        #expect(try await becomesTrue { try await position(it) == last })
        return positions
    }

    @Test func `behind a position of another history is gone: get the whole list`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let positions = try await revoke(2, it)
            let parts = positions[1].split(separator: ".").map(String.init)
            let (epoch, check) = (parts[0], parts[2])
            let stranger = "00000000-0000-4000-8000-000000000000"
            let gone = [
                "\(stranger).1.\(check)", "\(epoch).1.AAAAAAAAAAAAAAAA", "\(epoch).0.\(check)", "\(epoch).2.\(check)",
                // Beyond the head.
                "\(epoch).3.\(check)", "\(epoch).9223372036854775807.\(check)",
            ]
            for node in it.nodes {
                for position in gone {
                    for query in ["?after=\(position)", "?after=\(position)&wait=5", "?after=\(position)&nonce=x"] {
                        let answer = try await node.feed(query)
                        #expect(answer.status == 410, "\(query)")
                        #expect(answer["code"] == "resync", "\(query)")
                        #expect(answer.header("cache-control") == "no-store", "\(query)")
                    }
                }
            }
            // What the other node never read itself, the database tells it; for a day.
            let late = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            let known = try await late.feed("?after=\(positions[1])").status
            try await it.database.query("UPDATE feed_batches SET at = at - interval '24 hours'")
            let forgotten = try await late.feed("?after=\(positions[1])").status
            let head = try await late.feed("?after=\(positions[2])").status
            await late.stop()
            #expect(known == 200)
            #expect(forgotten == 410)
            #expect(head == 200)
        }
    }

    @Test func `behind a position that another node has read already waits for a tick`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            for number in 0..<5 {
                let tokens = try await it.node.newUser("user\(number)")
                let position = try #require(try await it.node.revoke(tokens.refresh).header("latchkey-position"))
                let answer = try await it.nodes[1].feed("?after=\(position)")
                #expect(try ReceivedMessage(answer).position == position)
            }
        }
    }

    @Test func `is held until there is something, or the time is over`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let before = try await position(it)
            let begun = ContinuousClock.now
            let nothing = try ReceivedMessage(try await it.node.feed("?after=\(before)&wait=1&nonce=n"))
            #expect(.milliseconds(900)..<(.seconds(10)) ~= ContinuousClock.now - begun)
            #expect(nothing.forms.isEmpty && nothing.position == before && nothing["nonce"] == "n")
            try await nothing.verify(it.node)

            _ = try await it.node.newUser("alice")
            for headers in [[], Self.binary] {
                let victim = try await it.node.logIn("alice")
                let start = try await position(it)
                async let held = it.nodes[1].feed("?after=\(start)&wait=30", headers)
                #expect(await becomesTrue { it.nodes[1].installation.feed.ring.waiters == 1 })
                #expect(try await it.node.revoke(victim.refresh).status == 200)
                let message = try ReceivedMessage(try await held)
                try await message.verify(it.node)
                #expect(message.ids == [try victim.sid])
            }
            #expect(ContinuousClock.now - begun < .seconds(25))
        }
    }

    private static let misspelled = [
        "?after=x", "?after=1", "?wait=1", "?after=P&wait=31", "?after=P&wait=-1", "?after=P&wait=1.5",
        "?after=P&wait=+1",
        "?after=P&wait=%D9%A3", "?nonce=.", "?nonce=a+b", "?nonce=%C3%A9", "?after=P&after=P", "?nonce=a&nonce=b",
        "?nonce=%",
        "?nonce=" + String(repeating: "a", count: 65),
    ]

    @Test func `is asked for in one way`() async throws {
        try await TestInstallation.run { it in
            let position = try await position(it)
            for query in Self.misspelled.map({ $0.replacing("P", with: position) }) {
                for path in ["", "/stream"] {
                    let answer = try await it.node.feed(path + query)
                    #expect(answer.status == 400, "\(path)\(query)")
                    #expect(answer["code"] == "invalid-request", "\(path)\(query)")
                }
            }
        }
    }

    @Test func `has a key of its own, the same on every node`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            var keys: [JSONValue] = []
            for node in it.nodes {
                let document = try await node.get("/.well-known/openid-configuration").json
                #expect(document["latchkey_revocations_endpoint"]?.string == "\(it.settings.issuer)/revocations")
                let set = try #require(document["latchkey_revocations_jwks"]?.object?["keys"]?.array)
                #expect(set.count == 1)
                keys += set
                try await ReceivedMessage(try await node.feed()).verify(it.node)
            }
            #expect(keys[0] == keys[1])
            let key = try JSONWebKey(keys[0])
            #expect(key.publicKey.algorithm == .edDSA)
            #expect(key.keyID == JSONWebKey.thumbprint(of: key.publicKey))
            let tokenKeys = try await CompromiseScene.published(it.node)
            #expect(!tokenKeys.contains(key.keyID))
        }
    }
}
