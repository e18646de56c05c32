import ArgumentParser
import Latchkey
import Postgres

/// The statement of a refresh, driven by tasks that do nothing else: in commit groups as the service sends it, or one at
/// a time on connections of the pool.
struct RefreshCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "refresh", abstract: "The refresh's conditional UPDATE alone, each task advancing its own session."
    )

    @Option(help: "As many as the load on the service has connections.") var tasks = 32
    @Option var seconds = 4.0
    @Flag(help: "One statement a request on the pool, instead of groups.") var single = false

    func run() async throws {
        let sessions = try await BareSessions(count: tasks)
        let database = sessions.database
        let measure = Measure()
        let deadline = ContinuousClock.now + .seconds(seconds)
        let single = single
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for var token in sessions.tokens {
                group.addTask {
                    var count = 0
                    while ContinuousClock.now < deadline {
                        let statement = SessionSQL.advance(token, clientID: "first-party", idleTTL: 1_209_600)
                        let result =
                            single ? try await database.query(statement) : try await database.grouped(statement)
                        guard result.count == 1 else { throw PostgresError.unexpectedRowCount(result.count) }
                        token = RefreshToken(rid: token.rid, fence: token.fence, generation: token.generation + 1)
                        count += 1
                    }
                    return count
                }
            }
            return try await group.reduce(0, +)
        }
        measure.print(count: total)
        database.shutDown()
    }
}

/// The statement of a revoke by refresh token, in the groups of its own lane.
struct RevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "The statement that ends a session and puts it on the list, alone, in groups.")

    @Option var tasks = 32
    @Option(help: "How many sessions to end.") var count = 8_000

    func run() async throws {
        let sessions = try await BareSessions(count: count)
        let database = sessions.database
        let measure = Measure()
        let share = (sessions.tokens.count + tasks - 1) / tasks
        try await withThrowingTaskGroup(of: Void.self) { group in
            for start in stride(from: 0, to: sessions.tokens.count, by: share) {
                let mine = sessions.tokens[start..<min(start + share, sessions.tokens.count)]
                group.addTask {
                    for token in mine {
                        let result = try await database.grouped(
                            SessionEndSQL.end(
                                .rid(slot: token.slot, token.rid, fence: Int64(token.fence), of: nil), .skipLocked,
                                cause: .revoked, reason: nil, origin: Origin(actor: "anonymous", address: "127.0.0.1")),
                            in: .revocations)
                        guard result.count == 1 else { throw PostgresError.unexpectedRowCount(result.count) }
                    }
                }
            }
            try await group.waitForAll()
        }
        measure.print(count: count)
        database.shutDown()
    }
}
