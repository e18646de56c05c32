import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("Parallel refreshes")
struct ParallelRefreshTests {
    @Test("32 of one token over two nodes leave one live leaf")
    func oneLiveLeaf() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            var newest = born.refresh
            for round in 1...4 {
                let presented = newest
                let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                    for number in 0..<32 {
                        group.addTask { try await it.nodes[number % 2].refresh(presented) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(answers.allSatisfy { $0.status == 200 })
                let successors = Set(answers.map(\.refresh))
                #expect(successors.count == 1)
                #expect(try Set(answers.map { try $0.tokenID }).count == 32)
                let row = try await it.row(born)
                #expect(row.generation == Int64(round + 1))
                #expect(row.confirmed == Int64(round))
                #expect(row.isLive)
                newest = try #require(successors.first)
            }
            #expect(try await it.listed() == 0)
        }
    }

    @Test("200 of different sessions all advance, each by one")
    func manySessions() async throws {
        // Two hundred at once from unknown devices are more than an account's guesses, however right the password.
        try await TestInstallation.run(nodes: 2, settings: { $0.guesses.perAccount = 0 }) { it in
            _ = try await it.node.newUser("alice")
            let born = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for number in 0..<200 { group.addTask { try await it.nodes[number % 2].logIn("alice") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(born.allSatisfy { $0.status == 200 })
            #expect(Set(born.map(\.refresh)).count == 200)
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for (number, tokens) in born.enumerated() {
                    group.addTask { try await it.nodes[number % 2].refresh(tokens.refresh).status }
                }
                return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
            }
            #expect(statuses == [200: 200])
            let advanced: Int64 = try await it.database.query(
                "SELECT count(*) AS count FROM sessions WHERE gen = 2 AND conf = 1 AND ended_at IS NULL"
            ).one().decode("count")
            #expect(advanced == 200)
        }
    }

    @Test("of one token while another holds its row wait for it, and the row's others do not")
    func waitsForTheRow() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let other = try await it.node.logIn("alice")
            let sid = try born.sid
            let answer = try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("SELECT sid FROM sessions WHERE sid = \(sid) FOR UPDATE")
                async let refreshed = it.node.refresh(born.refresh)
                try await it.untilWaitingForLocks(1)
                #expect(try await it.node.refresh(other.refresh).status == 200)
                try await transaction.commit()
                return try await refreshed
            }
            #expect(answer.status == 200)
            #expect(try await it.row(born).generation == 2)
        }
    }

    @Test("of a row that stays locked are told to try again, and nothing has changed", .eachAnswerCounts)
    func givesUp() async throws {
        try await TestInstallation.run(patience: 2_000_000_000) { it in
            let born = try await it.node.newUser("alice")
            let sid = try born.sid
            try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("SELECT sid FROM sessions WHERE sid = \(sid) FOR UPDATE")
                let start = ContinuousClock.now
                let answer = try await it.node.refresh(born.refresh)
                #expect(answer.status == 503)
                #expect(answer["error"] == "temporarily_unavailable")
                #expect(answer.header("retry-after") == "1")
                #expect(ContinuousClock.now - start < .seconds(5))
                try await transaction.commit()
            }
            #expect(try await it.row(born).generation == 1)
            #expect(try await it.node.refresh(born.refresh).status == 200)
            #expect(try await it.row(born).generation == 2)
        }
    }
}

extension Transaction {
    /// Takes a lock and keeps it while the test looks around: connections end a transaction that idles for 2 s.
    func hold(_ lock: Query) async throws {
        try await batch(["SET LOCAL idle_in_transaction_session_timeout = 0", lock])
    }
}

extension TestInstallation {
    /// Returns once so many statements of this database wait for a lock.
    func untilWaitingForLocks(_ wanted: Int64) async throws {
        let isWaiting = try await becomesTrue {
            let waiting: Int64 = try await database.query(
                """
                SELECT count(*) AS count FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'
                """
            ).one().decode("count")
            return waiting == wanted
        }
        try #require(isWaiting)
    }
}
