import LatchkeyTesting
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// What wakes an operator: a line at the level of errors, and a number on the metrics' page.
@Suite("Alarms of the revocation list", .timeLimit(.minutes(2)))
struct AlarmTests {
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])

        var logger: Logger {
            Logger(label: "test") { label in
                JSONLogHandler(label: label, logLevel: .info) { line in
                    self.lines.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
                }
            }
        }

        /// Those of errors that hold `text`.
        func errors(_ text: String) -> [String] {
            lines.withLock { lines in lines.filter { $0.contains("\"level\":\"error\"") && $0.contains(text) } }
        }
    }

    @Test func `A tick that comes too late is counted, and told of with how long nothing was judged`() async throws {
        try await TestInstallation.run { it in
            let relay = try Relay(to: it.connectionString)
            defer { relay.close() }
            let lines = Lines()
            var settings = it.settings
            settings.databaseURL = relay.connectionString
            let node = try await TestNode.start(
                Installation(settings, masterKeys: it.node.installation.masterKeys, logger: lines.logger))
            let list = node.installation.revocations
            @Sendable func told() -> [String] { lines.errors("the tick fell behind") }
            let before = told().count
            relay.set(.held)
            #expect(await becomesTrue { !list.isFresh })
            // No tick has ended since: none may tell.
            #expect(told().count == before)
            relay.set(.open)
            #expect(await becomesTrue { told().count > before })
            #expect(list.isFresh)
            #expect(list.late.reading == UInt64(told().count))
            let seconds = try #require(told().last?.firstMatch(of: /"seconds":"([0-9.]+)"/)?.output.1)
            #expect(try #require(Double(seconds)) >= 2)
            await node.stop()
        }
    }

    /// The slot in the middle of the spent ones: the clock's next step makes no difference.
    private func spentSlot(_ database: Database) async throws -> Int16 {
        let row = try await database.query(
            "SELECT longest_access_token + 300 AS seconds, clock_timestamp() AS now FROM installation"
        ).one()
        return RevocationRing.spentSlots(now: try row.decode("now"), horizonSeconds: try row.decode("seconds"))[2]
    }

    @Test func `A slot that somebody holds for three rounds is told of until it is emptied`() async throws {
        try await TestInstallation.run { it in
            let lines = Lines()
            // Of a node that does not run: its own housekeeping would count, too.
            let installation = Installation(
                it.settings, masterKeys: it.node.installation.masterKeys, logger: lines.logger)
            defer { installation.close() }
            let housekeeping = Housekeeping(installation, logger: lines.logger)
            let ring = RevocationRing(it.database, clock: NodeClock())
            let list = installation.revocations
            let slot = try await spentSlot(it.database)
            var rounds: [Int16: Int] = [:]
            try await it.database.transaction(timeout: 60_000_000_000) { transaction in
                try await transaction.hold("SELECT count(*) FROM \("revocation_entries", slot: slot)")
                try await it.database.query(
                    """
                    INSERT INTO revocation_entries (slot, seq, kind, id, expires_at)
                    VALUES (\(slot), 0, 1, gen_random_uuid(), clock_timestamp() - interval '1 second')
                    """)
                for (round, overdue) in [(1, 0), (2, 0), (3, 1)] {
                    rounds = try await housekeeping.emptySlots(of: ring, left: rounds)
                    #expect(rounds == [slot: round])
                    #expect(list.overdueSlots == overdue)
                    #expect(lines.errors("ring falls behind").count == overdue)
                }
                try await transaction.commit()
            }
            rounds = try await housekeeping.emptySlots(of: ring, left: rounds)
            #expect(rounds.isEmpty)
            #expect(list.overdueSlots == 0)
            #expect(lines.errors("ring falls behind").count == 1)
        }
    }
}
