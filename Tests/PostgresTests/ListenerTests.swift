import LatchkeyTesting
import Testing

@testable import Postgres

@Suite("Notifications", .freshDatabase, .timeLimit(.minutes(2)))
struct ListenerTests {
    let database = FreshDatabase.open()

    @Test func `Listening is said first, and a NOTIFY wakes`() async throws {
        var notifications = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await notifications.next() == .listening)
        for _ in 0..<3 {
            try await database.query("NOTIFY nudge")
            #expect(await notifications.next() == .notified)
        }
    }

    @Test func `Another channel's NOTIFY does not wake`() async throws {
        var notifications = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await notifications.next() == .listening)
        try await database.query("NOTIFY other")
        database.shutDown()
        #expect(await notifications.next() == nil)
    }

    @Test func `A NOTIFY of another node wakes every listener`() async throws {
        let other = FreshDatabase.open()
        var one = database.notifications(on: "nudge").makeAsyncIterator()
        var two = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await one.next() == .listening)
        #expect(await two.next() == .listening)
        _ = try await other.grouped("NOTIFY nudge", in: .revocations)
        #expect(await one.next() == .notified)
        #expect(await two.next() == .notified)
        other.shutDown()
    }

    @Test func `After its backend was killed it listens anew and says so`() async throws {
        var notifications = database.notifications(on: "nudge").makeAsyncIterator()
        #expect(await notifications.next() == .listening)
        for _ in 0..<2 {
            let killed: Int64 = try await database.value(
                """
                SELECT count(pg_terminate_backend(pid)) AS value FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'LISTEN%'
                """)
            #expect(killed == 1)
            #expect(await notifications.next() == .listening)
            try await database.query("NOTIFY nudge")
            #expect(await notifications.next() == .notified)
        }
    }

    @Test func `Where no server is it tries again and again, with pauses, and listens as soon as there is one`()
        async throws
    {
        let relay = try Relay(to: FreshDatabase.connectionString)
        defer { relay.close() }
        relay.set(.cut)
        let listening = FreshDatabase.open { $0.connectionString = relay.connectionString }
        var notifications = listening.notifications(on: "nudge").makeAsyncIterator()
        let start = ContinuousClock.now
        #expect(await becomesTrue { relay.acceptedCount >= 6 })
        // 50, 100, 200, 400 and 800 ms, each cut by a half at most.
        #expect(ContinuousClock.now - start > .milliseconds(750))
        relay.set(.open)
        #expect(await notifications.next() == .listening)
        try await database.query("NOTIFY nudge")
        #expect(await notifications.next() == .notified)
        listening.shutDown()
        #expect(await notifications.next() == nil)
        let made = relay.acceptedCount
        #expect(await becomesTrue(within: .seconds(1)) { relay.acceptedCount > made } == false)
    }

    @Test func `Shutting down ends the sequence in the middle of a pause`() async throws {
        let listening = FreshDatabase.open { $0.connectionString = "host=/nonexistent" }
        var notifications = listening.notifications(on: "nudge").makeAsyncIterator()
        await #expect(throws: PostgresError.unavailable(.cannotConnect)) { try await listening.query("SELECT 1") }
        listening.shutDown()
        #expect(await notifications.next() == nil)
    }

    @Test func `A notification that arrives with a result is not lost`() async throws {
        // The pool's own connections hear nothing of it, and are not confused.
        try await database.lease { lease throws(PostgresError) in
            try await lease.query("LISTEN nudge")
            try await lease.query("NOTIFY nudge")
            #expect(try await lease.query("SELECT 1").count == 1)
            try await lease.query("UNLISTEN nudge")
        }
    }
}
