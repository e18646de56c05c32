import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

/// Every pair of journeys that meet in a row, step by step: the first has executed and not committed; the second comes,
/// finds the row locked and waits; then the first commits, or is rolled back as by a death of its node.
@Suite("Two at once, step by step")
struct IsolationTests {
    enum Fate: Sendable, CaseIterable { case commits, rollsBack }

    // MARK: refresh and refresh

    @Test("A refresh waits for one of the same token: the same successor, or its own", arguments: Fate.allCases)
    func refreshThenRefresh(fate: Fate) async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let answer = try await it.while([try it.advance(born)], is: fate) {
                try await it.node.refresh(born.refresh)
            }
            #expect(answer.status == 200)
            #expect(try it.token(answer).generation == 2)
            let row = try await it.row(born)
            #expect(row.generation == 2)
            #expect(row.confirmed == 1)
            #expect(row.isLive)
        }
    }

    @Test(
        "The unused successor waits for a recovery that voids it: the session ends; undone, it advances",
        arguments: Fate.allCases)
    func recoverThenRefresh(fate: Fate) async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let unused = try await it.node.refresh(born.refresh)
            let token = try it.token(born)
            let recovery = [
                SessionSQL.lock(slot: token.slot, rid: token.rid),
                SessionSQL.recoverLocked(slot: token.slot, rid: token.rid, now: Instant(seconds: 1_700_000_000)),
            ]
            let answer = try await it.while(recovery, is: fate) { try await it.node.refresh(unused.refresh) }
            let row = try await it.row(born)
            switch fate {
            case .commits:
                it.expectInvalidGrant(answer)
                #expect(row.cause == EndCause.void.rawValue)
                #expect(row.generation == 3)
                #expect(try await it.listed(try born.sid) == 1)
            case .rollsBack:
                #expect(try it.token(answer).generation == 3)
                #expect(row.confirmed == 2)
                #expect(row.isLive)
            }
        }
    }

    @Test("The last used token waits for its successor's use: void when that is committed", arguments: Fate.allCases)
    func advanceThenOlder(fate: Fate) async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let second = try await it.node.refresh(born.refresh)
            let answer = try await it.while([try it.advance(second)], is: fate) {
                try await it.node.refresh(born.refresh)
            }
            switch fate {
            case .commits:
                it.expectInvalidGrant(answer)
                #expect(try await it.row(born).cause == EndCause.void.rawValue)
            case .rollsBack: #expect(answer.refresh == second.refresh)
            }
        }
    }

    // MARK: refresh and revoke

    @Test("A revoke waits for a refresh, and ends what that has handed out", arguments: Fate.allCases)
    func refreshThenRevoke(fate: Fate) async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let answer = try await it.while([try it.advance(born)], is: fate) { try await it.node.revoke(born.refresh) }
            #expect(answer.status == 200)
            let row = try await it.row(born)
            #expect(row.generation == (fate == .commits ? 2 : 1))
            #expect(row.cause == EndCause.revoked.rawValue)
            #expect(try await it.node.admits(born) == false)
            it.expectInvalidGrant(try await it.node.refresh(born.refresh))
        }
    }

    @Test("A refresh waits for a revoke: refused, or as if it had never been", arguments: Fate.allCases)
    func revokeThenRefresh(fate: Fate) async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let answer = try await it.while([try it.revocation(born)], is: fate) {
                try await it.node.refresh(born.refresh)
            }
            switch fate {
            case .commits: it.expectInvalidGrant(answer)
            case .rollsBack: #expect(answer.status == 200)
            }
            #expect(try await it.row(born).generation == (fate == .commits ? 1 : 2))
            #expect(try await it.row(born).isLive == (fate == .rollsBack))
        }
    }

    // MARK: revoke and revoke

    @Test("A revoke waits for another: one end, one entry, one audit row, both answered", arguments: Fate.allCases)
    func revokeThenRevoke(fate: Fate) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let answer = try await it.while([try it.revocation(born)], is: fate) {
                try await it.node.revoke(born.refresh)
            }
            #expect(answer.status == 200)
            #expect(answer.header("latchkey-position") != nil)
            #expect(try await it.row(born).cause == EndCause.revoked.rawValue)
            #expect(try await it.listed(try born.sid) == 1)
            #expect(try await it.audited("session.revoked", "session:\(try born.sid.text)") == 1)
            // Whoever ended it: the node that has answered refuses at once.
            #expect(try await it.node.admits(born) == false)
        }
    }
}

private struct RolledBack: Error {}

extension TestInstallation {
    func token(_ tokens: TestNode.Answer) throws -> RefreshToken {
        try RefreshToken(tokens.refresh, masterKeys: node.installation.masterKeyRing.keys)
    }

    func advance(_ tokens: TestNode.Answer) throws -> Query {
        SessionSQL.advance(try token(tokens), clientID: Client.firstParty, idleTTL: settings.session.idleTTL)
    }

    func revocation(_ tokens: TestNode.Answer) throws -> Query {
        let token = try token(tokens)
        return SessionEndSQL.end(
            .rid(slot: token.slot, token.rid, fence: Int64(token.fence), of: nil), .wait, cause: .revoked, reason: nil,
            origin: Origin(actor: "test"))
    }

    /// Executes `first` in a transaction, begins `second`, and ends the transaction once that waits for a lock of it.
    func `while`<R: Sendable>(
        _ first: [Query], is fate: IsolationTests.Fate, second: @escaping @Sendable () async throws -> R
    ) async throws -> R {
        var task: Task<R, any Error>?
        do {
            try await database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.batch(["SET LOCAL idle_in_transaction_session_timeout = 0"])
                // One after the other: each with a snapshot of its own.
                for query in first { try await transaction.query(query) }
                task = Task { try await second() }
                try await untilWaitingForLocks(1)
                if fate == .rollsBack { throw RolledBack() }
                try await transaction.commit()
            }
        } catch is RolledBack {
            // Its locks are gone, and nothing has happened.
        }
        return try await #require(task).value
    }

    /// Beside the ticks, which may wait too.
    func untilRotationsWait(_ wanted: Int64) async throws {
        let isWaiting = try await becomesTrue {
            let waiting: Int64 = try await database.query(
                """
                SELECT count(*) AS count FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%key_ring%'
                """
            ).one().decode("count")
            return waiting >= wanted
        }
        try #require(isWaiting)
    }
}
