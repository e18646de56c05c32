import JOSE
import LatchkeyTesting
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// A standby that took over without the last commits may have grown past a node's position before the node looks again.
@Suite("Another history of the list")
struct OtherHistoryTests {
    @Test func `is read from its start, though its head is ahead`() async throws {
        try await TestInstallation.run { it in
            let database = it.node.installation.database
            let tokens = try await it.node.newUser("alice")
            let revoked = try await it.node.newUser("bob")
            #expect(try await it.node.revoke(revoked.access).status == 200)
            #expect(try await it.node.get("/account", bearer: tokens.access).status == 200)

            // The node has ticked behind it.
            #expect(
                await becomesTrue {
                    it.node.installation.revocations.state.withLock { $0.proven?.position.seq == 1 }
                })

            // Our one entry gives way to another at the same position, and a further batch follows: what a lossy failover
            // would leave.
            let other = try #require(UniqueID(text: try AccessTokenClaims.tokenID(of: tokens.access)))
            try await database.batch([
                "UPDATE revocation_entries SET id = \(other)",
                """
                INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
                SELECT slot, seq + 1, kind, gen_random_uuid(), expires_at FROM revocation_entries
                """,
                "UPDATE feed_batches SET digest = sha256('another')",
                "INSERT INTO feed_batches (seq, digest) SELECT seq + 1, sha256('further') FROM feed_head",
                "UPDATE feed_head SET seq = seq + 1, digest = sha256('further')",
            ])
            #expect(try await becomesTrue { try await it.node.get("/account", bearer: tokens.access).status == 401 })
            // That was lost commits: the key that signed is refused, and another standby takes its successor's place.
            let standbys: Query = "SELECT kid FROM signing_keys WHERE activates_at IS NULL AND compromised_at IS NULL"
            #expect(try await becomesTrue { try await it.database.query(standbys).count == 2 })
            let lost: Query = "SELECT FROM audit_events WHERE action = 'history.lost'"
            #expect(try await it.database.query(lost).count == 1)
        }
    }

    @Test func `makes a node stale until it has claimed that it knows that one`() async throws {
        try await TestInstallation.run { it in
            // One that does not tick by itself.
            let installation = Installation(
                it.settings, masterKeys: it.node.installation.masterKeys,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            defer { installation.close() }
            let list = installation.revocations
            _ = try await list.readAndClaim()
            #expect(list.isFresh)
            try await it.database.query("UPDATE feed_head SET epoch = gen_random_uuid()")
            #expect(try await list.read().history == .another)
            #expect(!list.isFresh)
            // Nor by a reading that finds nothing new: what else is kept of the lost one has not gone yet.
            _ = try await list.readAndClaim()
            #expect(!list.isFresh)
            #expect(list.takeUntold() == .another)
            #expect(list.takeUntold() == nil)
            // Only a tick is the first to claim it, once that has gone.
            let begun = BootInstant.now()
            let reading = try await list.readAndClaim()
            #expect(!list.isFresh)
            list.claim(completeAsOf: begun, by: reading)
            #expect(list.isFresh)
        }
    }

    /// A request that reads a position may be the first to find it.
    @Test(arguments: [false, true]) func `is told of by the next tick, whoever has found it`(isLost: Bool) async throws
    {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, logLevel: .error) { line in
                let text = String(decoding: line, as: UTF8.self)
                lines.withLock { $0.append(text) }
            }
        }
        try await HistoryScene.run { scene, cluster in
            let installation = scene.installation(cluster.connectionString)
            defer { installation.close() }
            let list = installation.revocations
            let tick = NodeTick(
                list, node: installation.node, version: "test", masterKeys: { [1] },
                settings: installation.settings.inForce, logger: logger, onReading: { _ in }, onRead: {})
            try await tick.tick()
            #expect(lines.withLock { $0 } == [])
            try await cluster.administer(
                isLost
                    ? "UPDATE feed_head SET identity = '1:00000001:1:1'"
                    : "UPDATE feed_head SET epoch = gen_random_uuid()")
            _ = try await list.read(on: list.pulse)
            #expect(lines.withLock { $0 } == [])
            try await tick.tick()
            try await tick.tick()
            let told = lines.withLock { $0 }
            #expect(told.count == 1)
            #expect(told.first?.contains(isLost ? "history was lost" : "has another history") == true)
        }
    }

    @Test func `is not what an older reading tells that comes last`() async throws {
        try await TestInstallation.run { it in
            let installation = Installation(
                it.settings, masterKeys: it.node.installation.masterKeys,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            defer { installation.close() }
            let list = installation.revocations
            _ = try await list.read()
            let early = try #require(list.state.withLock { $0.standing })
            #expect(try await it.node.revoke(try await it.node.newUser("alice").access).status == 200)
            _ = try await list.read()
            #expect(list.move(to: early, proving: nil, of: 0))
            #expect(list.state.withLock { $0.standing?.position } == list.position)
            #expect(list.position?.seq == 1)
        }
    }
}

extension AccessTokenClaims {
    fileprivate static func tokenID(of token: String) throws -> String {
        let payload = try #require(Base64URL.decode(token.utf8.split(separator: UInt8(ascii: "."))[1]))
        return try AccessTokenClaims(parsing: payload).tokenID.text
    }
}
