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
            _ = try await list.readAndClaim()
            #expect(list.isFresh)
        }
    }
}

extension AccessTokenClaims {
    fileprivate static func tokenID(of token: String) throws -> String {
        let payload = try #require(Base64URL.decode(token.utf8.split(separator: UInt8(ascii: "."))[1]))
        return try AccessTokenClaims(parsing: payload).tokenID.text
    }
}
