import Foundation
import LatchkeyTesting
import Postgres
import Testing

/// Everybody asks at once, on three nodes, while one of them is killed or loses its database. `LATCHKEY_PARALLEL_ROUNDS=500`
/// for the long run.
@Suite(.timeLimit(.minutes(60))) struct ParallelRoundsTests {
    private static let rounds =
        ProcessInfo.processInfo.environment["LATCHKEY_PARALLEL_ROUNDS"].flatMap { Int($0) } ?? 3
    private static let grace = 30
    private static let settings = [
        "LATCHKEY_REFRESH_GRACE": "\(grace)", "LATCHKEY_SIGNING_ALGORITHM": "ES256", "LATCHKEY_LOG_LEVEL": "error",
    ]

    @Test func `50 of one token get one successor, whatever is killed or cut meanwhile`() async throws {
        try await TortureSite.run(settings: Self.settings, nodes: 3) { site in
            let history = History()
            let client = TortureClient(ports: site.ports, history: history, account: 0)
            let first = TortureClient.Attempt(node: 0, milliseconds: 10_000)
            _ = await client.register(0, first)
            let store = try #require(await client.logIn(0, first).1)
            for round in 1...Self.rounds {
                let isCalm = round % 3 == 0
                if isCalm { try await ready(site) }
                let (presented, before) = (store.tokens, history.operations.count)
                async let hurt: Void = hurt(site, in: round)
                let answers = await withTaskGroup(of: Operation.self) { group in
                    for number in 0..<50 { group.addTask { await refresh(store, presented, by: client, number) } }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                try await hurt
                let refused = answers.filter { $0.outcome != .ok }
                try #require(refused.isEmpty, "round \(round): \(refused.prefix(3))")
                #expect(Set(answers.map(\.minted?.generation)) == [presented.generation + 1], "round \(round)")
                #expect(Set(answers.map(\.minted?.tokenID)).count == 50)
                // No node said 503.
                if isCalm { #expect(history.operations.count == before + 50, "round \(round)") }
            }
            try await judge(history, of: site)
        }
    }

    private func ready(_ site: TortureSite) async throws {
        for port in site.ports {
            #expect(try await becomesTrue { try await Site(port: port).get("/readyz").status == 200 })
        }
    }

    /// Until it is answered, by one node after another. All of it is over within the grace.
    private func refresh(
        _ store: TokenStore, _ tokens: TokenStore.Tokens, by client: TortureClient, _ number: Int
    ) async -> Operation {
        let limit = ContinuousClock.now + .seconds(Self.grace - 10)
        var node = number % client.ports.count
        while true {
            let operation = await client.refresh(store, tokens, .init(node: node, milliseconds: 8_000))
            guard operation.outcome == .unknown, ContinuousClock.now < limit else { return operation }
            node = (node + 1) % client.ports.count
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    /// One node in turn, at some moment of the round; each third round nothing.
    private func hurt(_ site: TortureSite, in round: Int) async throws {
        let index = round / 3 % site.ports.count
        try await Task.sleep(for: .milliseconds(round * 7 % 40))
        switch round % 3 {
        case 1:
            site.count { $0.kills += 1 }
            await site.end(index)
            try await site.start(index)
        case 2:
            site.count { $0.cuts += 1 }
            site.relays[index].set(.cut)
            try await Task.sleep(for: .milliseconds(100))
            site.relays[index].set(.open)
        default: break
        }
    }

    private func judge(_ history: History, of site: TortureSite) async throws {
        let database = Database.patient(site.cluster.connectionString)
        defer { database.shutDown() }
        let check = HistoryCheck(
            operations: history.operations, record: try await Record(reading: database), patient: [0],
            grace: Int64(Self.grace) * 1_000_000_000)
        for violation in check.violations().prefix(10) { Issue.record("\(violation)") }
        try await TestInstallation.checkInvariants(of: database)
        let unknown = history.operations.count { $0.outcome == .unknown }
        print("parallel: \(Self.rounds) rounds, \(history.count) operations, \(unknown) unknown, \(site.tally)")
        // A round in which nobody was hurt proves little.
        #expect(unknown > 0)
    }
}
