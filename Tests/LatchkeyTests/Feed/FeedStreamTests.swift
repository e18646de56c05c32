import JOSE
import LatchkeyTesting
import Logging
import NIOCore
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

/// `GET /revocations/stream`.
@Suite("The revocation stream")
struct FeedStreamTests {
    @Test func `begins with the whole list, and goes on with what is revoked`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let old = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(old.refresh).status == 200)
            let follower = try await FeedFollower.follow(it.node, query: "?nonce=abc")
            #expect(await becomesTrue { follower.messages.count >= 1 })
            #expect(follower.events.first?.name == "resync")
            #expect(follower.events.first?.data["reason"] == "start")
            let first = try #require(try follower.received().first)
            try await first.verify(it.node)
            #expect(first["nonce"] == "abc" && first["after"] == nil)
            #expect(first.ids == [try old.sid])

            for node in it.nodes {
                let tokens = try await it.node.logIn("alice")
                let sid = try tokens.sid
                let position = try #require(try await node.revoke(tokens.refresh).header("latchkey-position"))
                #expect(await becomesTrue { follower.holds(sid) })
                #expect(await becomesTrue { follower.position == position })
            }
            let messages = try follower.received()
            for (message, next) in zip(messages, messages.dropFirst()) {
                try await next.verify(it.node)
                #expect(next["after"]?.string == message.position)
                #expect(next["nonce"] == nil)
                #expect((next["as_of"]?.int ?? 0) >= (message["as_of"]?.int ?? .max))
            }
            for event in follower.events where event.id != nil {
                #expect(event.id == event.data["position"]?.string)
            }
            await follower.stop()
            #expect(await becomesTrue { it.node.installation.feed.followers == 0 })
        }
    }

    @Test func `says every second that nothing was missed`() async throws {
        try await TestInstallation.run { it in
            let follower = try await FeedFollower.follow(it.node)
            #expect(await becomesTrue { follower.events("heartbeat").count >= 4 })
            let beats = try follower.received()
            for (beat, next) in zip(beats, beats.dropFirst()) {
                let (now, then) = (try #require(next["now"]?.int), try #require(beat["now"]?.int))
                #expect(now - then <= 1_500)
                // A claim is not told again as if it were a new one.
                #expect((next["as_of"]?.int ?? 0) > (beat["as_of"]?.int ?? .max))
            }
            await follower.stop()
        }
    }

    @Test func `goes on where its reader was, on any node`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let first = try await it.node.newUser("alice")
            let position = try #require(try await it.node.revoke(first.refresh).header("latchkey-position"))
            let second = try await it.node.logIn("alice")
            #expect(try await it.node.revoke(second.refresh).status == 200)
            for node in it.nodes {
                #expect(await becomesTrue { node.installation.revocations.position?.seq == 2 })
                for (query, headers) in [
                    ("?nonce=n", [("last-event-id", position)]), ("?after=\(position)&nonce=n", []),
                    // The header counts.
                    ("?nonce=n&after=\(position.replacing(".1.", with: ".0."))", [("last-event-id", position)]),
                ] {
                    let follower = try await FeedFollower.follow(node, query: query, headers: headers)
                    #expect(await becomesTrue { follower.messages.count >= 1 })
                    let message = try #require(try follower.received().first)
                    await follower.stop()
                    #expect(follower.events("resync").isEmpty)
                    #expect(message["after"]?.string == position)
                    #expect(message["nonce"] == "n")
                    #expect(message.ids == [try second.sid])
                    try await message.verify(node)
                }
            }
        }
    }

    @Test(arguments: ["x", "E.1.AAAAAAAAAAAAAAAA", "00000000-0000-4000-8000-000000000000.0.AAAAAAAAAAAAAAAA", "E.99.C"])
    func `begins anew for a position of no use`(word: String) async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            let position = try #require(try await it.node.revoke(tokens.refresh).header("latchkey-position"))
            let parts = position.split(separator: ".")
            let follower = try await FeedFollower.follow(
                it.node,
                headers: [("last-event-id", word.replacing("E", with: parts[0]).replacing("C", with: parts[2]))])
            #expect(await becomesTrue { follower.messages.count >= 1 })
            #expect(follower.events.first?.name == "resync")
            #expect(follower.events.first?.data["reason"] == "history")
            #expect(try follower.received().first?.ids == [try tokens.sid])
            await follower.stop()
        }
    }

    @Test func `tells of keys, and of keys that are taken back`() async throws {
        try await TestInstallation.run { it in
            let scene = try await CompromiseScene(it)
            let kid = try #require(try await scene.keys(.active).first)
            let follower = try await FeedFollower.follow(it.node)
            #expect(try await scene.compromise(kid).status == 202)
            #expect(await becomesTrue { follower.holds(keyID: kid) })
            #expect(try await scene.restore(kid).status == 200)
            #expect(await becomesTrue { follower.holds(keyID: kid) == false })
            #expect(follower.events("lifted").count == 1)
            await follower.stop()
            for message in try follower.received() { try await message.verify(it.node) }

            // Behind the beginning both stand in one message, the lift in an event of its own.
            let start = try #require(try follower.received().first).position
            let later = try await FeedFollower.follow(it.node, headers: [("last-event-id", start)])
            #expect(await becomesTrue { later.messages.count >= 1 })
            await later.stop()
            #expect(later.events.prefix(2).map(\.name) == ["revoked", "lifted"])
            #expect(later.events[0].id == nil)
            let message = try #require(try later.received().first)
            try await message.verify(it.node)
            #expect(message.keyIDs(3) == [kid] && message.keyIDs(4) == [kid])
        }
    }

    /// Puts as many entries on the list as one revocation.
    private func revoke(_ count: Int64, _ it: TestInstallation) async throws {
        _ = try await it.database.transaction { transaction in
            try await transaction.commit([
                """
                WITH head AS (
                    UPDATE feed_head SET seq = \(count), digest = sha256('many') RETURNING seq, digest
                ), batch AS (INSERT INTO feed_batches (seq, digest) SELECT seq, digest FROM head)
                INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
                SELECT 1, seq, 1, gen_random_uuid(), clock_timestamp() + interval '10 minutes'
                FROM generate_series(1, \(count)) AS seq
                """,
                "SELECT pg_notify('latchkey_revocations', '') IS NULL AS notified",
            ])
        }
        #expect(await becomesTrue { it.node.installation.revocations.position?.seq == count })
    }

    @Test func `sends a long list in parts`() async throws {
        try await TestInstallation.run { it in
            let count: Int64 = 2_300
            let start = try ReceivedMessage(try await it.node.feed()).position
            try await revoke(count, it)
            let behind = try await FeedFollower.follow(it.node, query: "?after=\(start)")
            #expect(await becomesTrue { behind.messages.count >= 1 })
            await behind.stop()
            #expect(behind.ids.count == Int(count) && behind.events.count >= 5)
            try await behind.received().first?.verify(it.node)
            let follower = try await FeedFollower.follow(it.node, query: "?nonce=n")
            #expect(await becomesTrue { follower.messages.count >= 1 })
            await follower.stop()
            #expect(follower.ids.count == Int(count))
            #expect(follower.events.allSatisfy { $0.entries.count <= 500 })
            let message = try #require(try follower.received().first)
            #expect(message["count"]?.int == count)
            try await message.verify(it.node)
            for headers in [[], [("accept", "application/vnd.latchkey.revocations")]] {
                let whole = try ReceivedMessage(try await it.node.feed("", headers))
                try await whole.verify(it.node)
                #expect(whole.forms == message.forms)
            }
        }
    }

    @Test(.eachAnswerCounts) func `sends so many long answers at once and no more, and short ones all the same`()
        async throws
    {
        try await TestInstallation.run { it in
            let start = try ReceivedMessage(try await it.node.feed()).position
            try await revoke(1_100, it)
            let places = it.node.installation.feed.longAnswers
            @Sendable func takeAll() -> [FeedPlaces.Place] {
                var all: [FeedPlaces.Place] = []
                while let place = places.take() { all.append(place) }
                return all
            }
            let gzip = [("accept-encoding", "gzip")]
            var taken = takeAll()
            #expect(taken.count == 128)
            for query in ["", "?nonce=n", "?after=\(start)"] {
                for headers in [[], gzip] {
                    let answer = try await it.node.feed(query, headers)
                    #expect(answer.status == 503 && answer.header("retry-after") != nil, "\(query)")
                }
            }
            let position = try #require(it.node.installation.revocations.position).word
            #expect(try await it.node.feed("?after=\(position)").status == 200)
            withExtendedLifetime(taken) {}
            taken = []
            for query in ["", "?nonce=n", "?after=\(start)"] {
                for headers in [[], gzip] { #expect(try await it.node.feed(query, headers).status == 200, "\(query)") }
            }
            #expect(try await it.node.send(.HEAD, "/revocations").status == 200)
            // Each was given back.
            #expect(await becomesTrue { takeAll().count == 128 })
        }
    }

    @Test func `begins anew for who is far behind: the whole list is made once for all`() async throws {
        try await TestInstallation.run { it in
            let start = try ReceivedMessage(try await it.node.feed()).position
            let count = Int64(RevocationFeed.mostBehind) + 1
            try await revoke(count, it)
            #expect(try await it.node.feed("?after=\(start)").status == 410)
            let follower = try await FeedFollower.follow(it.node, headers: [("last-event-id", start)])
            #expect(await becomesTrue { follower.messages.count >= 1 })
            await follower.stop()
            #expect(follower.events.first?.data["reason"] == "history")
            #expect(follower.ids.count == Int(count))
        }
    }

    @Test(.eachAnswerCounts) func `waits for a position ahead as one of those who follow`() async throws {
        try await TestInstallation.run(settings: { $0.feed.followers = 1 }) { it in
            let position = try ReceivedMessage(try await it.node.feed()).position
            let parts = position.split(separator: ".")
            let ahead = "\(parts[0]).7.AAAAAAAAAAAAAAAA"
            for query in ["?after=\(ahead)", "?after=\(ahead)&wait=5"] {
                #expect(try await it.node.feed(query).status == 410)
            }
            let follower = try await FeedFollower.follow(it.node)
            #expect(follower.status == 200)
            for query in ["?after=\(ahead)", "?after=\(ahead)&wait=5", "/stream?after=\(ahead)"] {
                let answer = try await it.node.feed(query)
                #expect(answer.status == 503 && answer.header("retry-after") != nil, "\(query)")
            }
            // What can be told at once takes no place.
            #expect(try await it.node.feed("?after=\(position)").status == 200)
            await follower.stop()
        }
    }

    @Test func `says that it is stale when the database is away, and goes on when it is back`() async throws {
        try await TestInstallation.run { it in
            let relay = try Relay(to: it.connectionString)
            defer { relay.close() }
            let node = try await it.node(behind: relay)
            let follower = try await FeedFollower.follow(node)
            #expect(await becomesTrue { follower.events("heartbeat").count >= 1 })
            relay.set(.held)
            #expect(await becomesTrue { follower.events("stale").count >= 2 })
            let stale = follower.events("stale")
            #expect(stale.allSatisfy { $0.id == nil && $0.data["signature"] == nil })
            #expect(stale.allSatisfy { ($0.data["now"]?.int ?? 0) - ($0.data["as_of"]?.int ?? 0) >= 2_000 })
            let last = try #require(follower.messages.last)
            let asOf = stale.last?.data["as_of"]
            #expect(asOf == last.data["as_of"] || (asOf?.int ?? 0) > (last.data["as_of"]?.int ?? 0))
            // Nothing was told as new meanwhile.
            let silent = follower.messages.count
            #expect(await becomesTrue { follower.events("stale").count >= 3 })
            #expect(follower.messages.count == silent)

            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            relay.set(.open)
            let sid = try tokens.sid
            #expect(await becomesTrue { follower.holds(sid) })
            #expect(follower.events("resync").count == 1)
            await follower.stop()
            await node.stop()
        }
    }

    @Test func `ends at another history, and begins anew`() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            let sid = try tokens.sid
            let follower = try await FeedFollower.follow(it.node)
            #expect(await becomesTrue { follower.holds(sid) })
            // As if it were restored from a backup into another cluster.
            let epoch: UniqueID = try await it.database.query("SELECT epoch FROM feed_head").one().decode("epoch")
            try await it.database.query("UPDATE feed_head SET identity = '1:2:3:4'")
            let begun = ContinuousClock.now
            #expect(await becomesTrue { follower.hasEnded })
            #expect(ContinuousClock.now - begun < .seconds(5))
            #expect(follower.events.last?.name == "resync")
            let row = try await it.database.query(
                "SELECT epoch, identity = history_identity() AS is_ours FROM feed_head"
            ).one()
            #expect(try row.decode("epoch", as: UniqueID.self) != epoch)
            #expect(try row.decode("is_ours", as: Bool.self))

            let old = try #require(follower.position)
            let again = try await FeedFollower.follow(it.node, headers: [("last-event-id", old)])
            #expect(await becomesTrue { again.messages.count >= 1 })
            #expect(again.events.first?.data["reason"] == "history")
            #expect(try again.received().first?.ids == [try tokens.sid])
            await again.stop()
            // The keys that may have signed in the lost history are gone; their successors' standbys come by the schedule.
            #expect(
                try await becomesTrue {
                    try await it.database.query(
                        """
                        SELECT FROM signing_keys
                        WHERE activates_at IS NULL AND compromised_at IS NULL AND removed_at IS NULL
                        """
                    ).count >= 2
                })
        }
    }

    @Test func `ends at once when the node shuts down`() async throws {
        try await TestInstallation.run { it in
            let node = try await TestNode.start(
                Installation(
                    it.settings, masterKeys: it.node.installation.masterKeys,
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
            let follower = try await FeedFollower.follow(node)
            #expect(await becomesTrue { follower.messages.count >= 1 })
            let position = try #require(follower.position)
            async let held = node.feed("?after=\(position)&wait=30")
            #expect(await becomesTrue { node.installation.feed.ring.waiters == 2 })
            let begun = ContinuousClock.now
            await node.stop()
            #expect(ContinuousClock.now - begun < .seconds(5))
            #expect(await becomesTrue { follower.hasEnded })
            let message = try ReceivedMessage(try await held)
            #expect(message.position == position)
        }
    }

    @Test(.eachAnswerCounts) func `takes so many followers and no more`() async throws {
        try await TestInstallation.run(settings: { $0.feed.followers = 2 }) { it in
            let followers = [try await FeedFollower.follow(it.node), try await FeedFollower.follow(it.node)]
            #expect(await becomesTrue { followers.allSatisfy { $0.messages.count >= 1 } })
            let refused = try await FeedFollower.follow(it.node)
            #expect(refused.status == 503)
            let position = try #require(followers[0].position)
            let poll = try await it.node.feed("?after=\(position)&wait=5")
            #expect(poll.status == 503 && poll.header("retry-after") != nil)
            // What is not held takes no place, nor does a HEAD keep one.
            #expect(try await it.node.feed("?after=\(position)").status == 200)
            await followers[0].stop()
            #expect(await becomesTrue { it.node.installation.feed.followers == 1 })
            for _ in 0..<3 {
                #expect(try await it.node.send(.HEAD, "/revocations/stream").status == 200)
            }
            #expect(await becomesTrue { it.node.installation.feed.followers == 1 })
            await followers[1].stop()
        }
    }

    @Test func `drops who does not read`() async throws {
        try await TestInstallation.run(settings: { $0.edge.pause = .seconds(1) }) { it in
            let caller = try await RawCaller.connect(port: it.node.port, reading: .never)
            caller.send("GET /revocations/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await becomesTrue { it.node.installation.feed.followers == 1 })
            let event = FeedRing.Event(
                bytes: .init(repeating: UInt8(ascii: ":"), count: 1 << 20), standing: nil)
            // More than what the kernel holds for a caller.
            #expect(
                await becomesTrue(within: .seconds(30)) {
                    it.node.installation.feed.ring.append(event)
                    return it.node.installation.feed.followers == 0
                })
            #expect(try await it.node.get("/readyz").status == 200)
            await caller.close()
        }
    }

    @Test func `has no end that a proxy would wait for`() async throws {
        try await TestInstallation.run { it in
            let caller = try await RawCaller.connect(port: it.node.port)
            caller.send("GET /revocations/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await becomesTrue { String(decoding: caller.received, as: UTF8.self).contains("event: heartbeat") })
            let head = String(decoding: caller.received, as: UTF8.self).lowercased()
            #expect(head.contains("content-type: text/event-stream\r\n"))
            #expect(head.contains("cache-control: no-store\r\n"))
            #expect(head.contains("x-accel-buffering: no\r\n"))
            #expect(head.contains("retry: 1000\nevent: "))
            await caller.close()
        }
    }
}
