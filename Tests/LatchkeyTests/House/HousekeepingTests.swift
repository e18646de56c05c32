import LatchkeyTesting
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

@Suite("Housekeeping")
struct HousekeepingTests {
    @Test func `does what can be done where a step of it cannot`() async throws {
        try await TestInstallation.run { it in
            let lines = Mutex<[String]>([])
            let logger = Logger(label: "test") { label in
                JSONLogHandler(label: label, logLevel: .info) { line in
                    lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
                }
            }
            // The first step waits for this row in vain.
            try await it.database.transaction(timeout: 60_000_000_000) { transaction in
                try await transaction.hold("SELECT single FROM installation FOR UPDATE")
                try await it.database.batch([
                    """
                    INSERT INTO feed_batches (seq, digest, at)
                    VALUES (-2, '', clock_timestamp() - interval '50 hours'),
                           (-1, '', clock_timestamp() - interval '25 hours')
                    """,
                    """
                    INSERT INTO guess_buckets (key, slots, spent_at)
                    VALUES (decode(md5('spent'), 'hex'), '{}', clock_timestamp() - interval '1 second')
                    """,
                ])
                let housekeeping = Task { try await Housekeeping(it.node.installation, logger: logger).run() }
                #expect(
                    try await becomesTrue(within: .seconds(40)) {
                        try await it.database.query(
                            """
                            SELECT EXISTS (SELECT FROM feed_batches WHERE seq = -2)
                                OR EXISTS (SELECT FROM guess_buckets WHERE key = decode(md5('spent'), 'hex')) AS found
                            """
                        ).one().decode("found") == false
                    })
                // The node's own may have been there first.
                #expect(await becomesTrue(within: .seconds(20)) { lines.withLock { $0.count } >= 1 })
                housekeeping.cancel()
                _ = await housekeeping.result
                try await transaction.commit()
            }
            let told = lines.withLock { $0 }
            #expect(told.count == 1)
            #expect(told.first?.contains("\"step\":\"settings\"") == true)
        }
    }

    @Test func `of the feed's key is told of once where it fails, and done when it can be`() async throws {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, logLevel: .info) { line in
                lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
            }
        }
        try await TestInstallation.run(logger: logger) { it in
            @Sendable func told() -> Int { lines.withLock { $0.count { $0.contains("the feed's key cannot follow") } } }
            try await it.database.query("ALTER TABLE feed_key RENAME TO feed_key_away")
            _ = try await MasterKeyScene(it: it).rotateEverywhere()
            #expect(await becomesTrue { told() == 1 })
            let position = try #require(it.node.installation.revocations.extract?.claim)
            // Two ticks further, and not a word more.
            #expect(
                await becomesTrue {
                    (it.node.installation.revocations.extract?.claim.asOf).map { $0 - position.asOf } ?? 0
                        >= 1_000_000_000
                })
            #expect(told() == 1)
            try await it.database.query("ALTER TABLE feed_key_away RENAME TO feed_key")
            #expect(
                try await becomesTrue {
                    try await it.database.query("SELECT master_key FROM feed_key").one().decode(
                        "master_key", as: Int16.self) == 2
                })
            try await ReceivedMessage(try await it.node.feed("?nonce=n")).verify(it.node)
        }
    }
}
