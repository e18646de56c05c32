import Foundation
import JOSE
import LatchkeyTesting
import Postgres
import Testing

/// Three nodes and one PostgreSQL under clients that write down all they see, and a nemesis. A short run in every
/// `make test`; `make torture MINUTES=30` for a long one. `LATCHKEY_SEED=n` draws the same faults and the same clients;
/// what becomes of them depends on the machine too.
@Suite(.timeLimit(.minutes(600)))
struct TortureTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let minutes = environment["LATCHKEY_TORTURE_MINUTES"].flatMap { Double($0) }

    @Test func `Nothing that was acknowledged is lost, and nothing works that was ended, whatever is killed meanwhile`()
        async throws
    {
        let seed = Self.environment["LATCHKEY_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...999_999)
        let seconds = Self.minutes.map { Int($0 * 60) } ?? 60
        try await TortureSite.run(settings: TortureRun.settings(seconds: seconds), nodes: 3) { site in
            try await TortureRun(site: site, seed: seed, seconds: seconds).run()
        }
    }
}

private struct TortureRun {
    let site: TortureSite
    let seed: UInt64
    let seconds: Int
    let history = History()
    let watch = TortureWatch()

    /// Longer than a refresh can be late, so that patient clients are never overtaken: its last try begins 5 s after the
    /// first, and waits behind a held connection (3.5 s), then behind a frozen database (3.5 s).
    private static let grace = 16
    private static let accounts = 12

    /// Tokens and their entries on the list outlive the run. Verifiers that fetch every second, so that keys may be rotated
    /// often; no guess limits, for an outcome that is unknown keeps its slot.
    static func settings(seconds: Int) -> [String: String] {
        [
            "LATCHKEY_ACCESS_TOKEN_TTL": "\(min(86_400, max(600, 2 * seconds)))",
            "LATCHKEY_REFRESH_GRACE": "\(grace)", "LATCHKEY_SIGNING_ALGORITHM": "ES256",
            "LATCHKEY_JWKS_MAX_AGE": "1", "LATCHKEY_CLOCK_LEEWAY": "1", "LATCHKEY_KEY_PUBLISH_LEAD": "4",
            "LATCHKEY_LOGIN_FAILURES_PER_ACCOUNT": "0", "LATCHKEY_LOGIN_FAILURES_PER_ADDRESS": "0",
            "LATCHKEY_LOG_LEVEL": "error",
        ]
    }

    private func client(_ account: Int) -> TortureClient {
        TortureClient(ports: site.ports, history: history, account: account)
    }

    private func isPatient(_ account: Int) -> Bool { account % 2 == 0 }

    func run() async throws {
        print("torture: LATCHKEY_SEED=\(seed), \(seconds) seconds")
        let administrator = try await Site(port: site.ports[0]).logIn("root")["access_token"]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<Self.accounts {
                let account = TorturedAccount(
                    client: client(number), manner: isPatient(number) ? .patient : .eager,
                    administrator: administrator, seed: seed &* 31 &+ UInt64(number), grace: Self.grace, watch: watch)
                group.addTask { await account.live() }
            }
            group.addTask { await rotate(administrator) }
            group.addTask { await probeEnded() }
            group.addTask { await tell() }
            let result: Result<Void, any Error>
            do {
                try await Nemesis(site: site, seed: seed, end: .now + .seconds(seconds)).run()
                try await heal()
                // What was still on its way when the last fault ended has come by now.
                try await Task.sleep(for: .seconds(3))
                result = .success(())
            } catch {
                result = .failure(error)
            }
            watch.end()
            try await group.waitForAll()
            try result.get()
        }
        try await probe()
        let shown = await showVoidTokens()
        try await judge(voidTokens: shown)
    }

    private func heal() async throws {
        let begun = ContinuousClock.now
        let healed = await becomesTrue(within: .seconds(30)) {
            for port in site.ports {
                guard (try? await Site(port: port).get("/readyz"))?.status == 200 else { return false }
            }
            return true
        }
        try #require(healed, "a node did not heal; \(site.logs)")
        print("torture: healed \(ContinuousClock.now - begun) after the last fault")
    }

    // MARK: beside the accounts

    private func rotate(_ administrator: String) async {
        var random = SeededGenerator(seed: seed ^ 0x726F_7461)
        while !watch.isOver {
            try? await Task.sleep(for: .milliseconds(Int.random(in: 1_000...8_000, using: &random)))
            let (one, other) = (Int.random(in: 0..<3, using: &random), Int.random(in: 0..<3, using: &random))
            async let first = client(-1).rotate(by: administrator, .init(node: one, milliseconds: 4_000))
            async let second = client(-1).rotate(by: administrator, .init(node: other, milliseconds: 4_000))
            _ = (await first, await second)
        }
    }

    /// Whoever tries again and again what was ended lately, on every node, the ones just started among them.
    private func probeEnded() async {
        var random = SeededGenerator(seed: seed ^ 0x7072_6F62)
        while !watch.isOver {
            try? await Task.sleep(for: .milliseconds(50))
            if let token = watch.revoked.suffix(20).randomElement(using: &random), random.chance(2) {
                let attempt = TortureClient.Attempt(node: Int.random(in: 0..<3, using: &random), milliseconds: 4_000)
                _ = await client(token.holding.account).use(token.holding.store, token.tokens, attempt)
            }
            guard let holding = watch.ended.suffix(20).randomElement(using: &random) else { continue }
            let attempt = TortureClient.Attempt(node: Int.random(in: 0..<3, using: &random), milliseconds: 4_000)
            if random.chance(2) {
                _ = await client(holding.account).use(holding.store, holding.store.tokens, attempt)
            } else {
                _ = await client(holding.account).refresh(holding.store, holding.store.tokens, attempt)
            }
        }
    }

    private func tell() async {
        let every = seconds > 120 ? 60 : 10
        while !watch.isOver {
            for _ in 0..<every * 4 where !watch.isOver { try? await Task.sleep(for: .milliseconds(250)) }
            print("torture: \(history.now / 1_000_000_000) s, \(history.count) operations, \(site.tally)")
        }
    }

    // MARK: when it is over

    /// Presents, at every node, what its holders believe to live, and many of what was ended or refused or revoked. What
    /// is answered goes into the history, and is judged with all else.
    private func probe() async throws {
        var random = SeededGenerator(seed: seed ^ 0x656E_6400)
        var chosen = watch.holdings.filter { !$0.store.isOver }
        chosen += watch.ended.shuffled(using: &random).prefix(300)
        // Refused: then it works nowhere any more.
        chosen += watch.holdings.filter(\.store.isOver).shuffled(using: &random).prefix(300)
        let parts = chosen.indices.reduce(into: [[TortureWatch.Holding]](repeating: [], count: 8)) {
            $0[$1 % 8].append(chosen[$1])
        }
        await withTaskGroup(of: Void.self) { group in
            for part in parts {
                group.addTask {
                    for holding in part {
                        for node in site.ports.indices {
                            await insist {
                                await client(holding.account).use(holding.store, holding.store.tokens, $0(node))
                            }
                            await insist {
                                await client(holding.account).refresh(holding.store, holding.store.tokens, $0(node))
                            }
                        }
                    }
                }
            }
            let revoked = watch.revoked.shuffled(using: &random).prefix(300)
            group.addTask {
                for token in revoked {
                    for node in site.ports.indices {
                        await insist {
                            await client(token.holding.account).use(token.holding.store, token.tokens, $0(node))
                        }
                    }
                }
            }
            group.addTask {
                for (account, password) in watch.passwords {
                    await insist { await client(account).logIn(password, $0(0)).0 }
                }
            }
        }
    }

    /// Shows, of up to a hundred sessions that live, a token from before the last used one. It is refused, and the session
    /// ends: the newest works no more.
    /// - Returns: how many it were.
    private func showVoidTokens() async -> Int {
        var random = SeededGenerator(seed: seed ^ 0x766F_6964)
        var shown = 0
        for holding in watch.holdings.shuffled(using: &random) where !holding.store.isOver && shown < 100 {
            let (store, client) = (holding.store, client(holding.account))
            let used = store.tokens
            let node = Int.random(in: site.ports.indices, using: &random)
            // Whoever else holds the session may have ended it.
            guard await insist({ await client.refresh(store, used, $0(node)) })?.outcome == .ok,
                let void = store.superseded.filter({ $0.generation < used.generation }).randomElement(using: &random)
            else { continue }
            // From now on it may end as if it were.
            watch.stole(store.sid)
            shown += 1
            for tokens in [void, store.tokens] {
                let answer = await insist { await client.refresh(store, tokens, $0(node)) }
                #expect(answer?.isRefused == true, "LATCHKEY_SEED=\(seed): \(answer?.description ?? "no answer")")
            }
        }
        return shown
    }

    /// Asks until it is known: the nodes are well.
    /// - Returns: nil where it was never known.
    @discardableResult
    private func insist(_ ask: ((Int) -> TortureClient.Attempt) async -> Operation) async -> Operation? {
        for _ in 0..<100 {
            let operation = await ask({ TortureClient.Attempt(node: $0, milliseconds: 10_000) })
            if operation.outcome != .unknown { return operation }
            try? await Task.sleep(for: .milliseconds(50))
        }
        return nil
    }

    private func judge(voidTokens shown: Int) async throws {
        let operations = history.operations
        let database = Database.patient(site.cluster.connectionString)
        defer { database.shutDown() }
        let check = HistoryCheck(
            operations: operations, record: try await Record(reading: database), stolen: watch.stolen,
            patient: Set((0..<Self.accounts).filter(isPatient)), grace: Int64(Self.grace) * 1_000_000_000)
        let violations = check.violations()
        for violation in violations.prefix(10) { Issue.record("LATCHKEY_SEED=\(seed): \(violation)") }
        // A rotation's new standby may still be on its way.
        let isSound = await becomesTrue { (try? await TestInstallation.checkInvariants(of: database)) != nil }
        if !isSound { try await TestInstallation.checkInvariants(of: database) }
        if !violations.isEmpty || operations.contains(where: { if case .absurd = $0.outcome { true } else { false } }) {
            print("torture: what the nodes said last: \(site.logs.suffix(40).joined(separator: "\n"))")
        }

        let known = operations.filter { $0.outcome == .ok }
        print(
            """
            torture: LATCHKEY_SEED=\(seed), \(operations.count) operations (\(known.count) ok, \
            \(operations.count(where: \.isRefused)) refused, \(operations.count { $0.outcome == .unknown }) unknown), \
            \(known.count(where: \.isRefresh)) refreshes, \(check.record.sessions.count) sessions, \
            \(watch.ended.count) ended, \(watch.revoked.count) access tokens revoked, \
            \(watch.stolen.count - shown) stolen, \(shown) void tokens shown, \(check.record.signers.count) keys, \
            \(site.tally), \(violations.count) violations
            """)
        // A run in which nothing happens proves nothing.
        #expect(known.count(where: \.isRefresh) > 100)
        #expect(watch.ended.count > 5)
        #expect(watch.revoked.count > 5)
        #expect(shown > 0)
        // As long as `make test` tortures, the schedule has one of each of these.
        guard seconds >= 60 else { return }
        let tally = site.tally
        for count in [
            tally.kills, tally.freezes, tally.cuts, tally.cutsAtCommit, tally.readOnly, tally.crashes,
            tally.databaseFreezes,
        ] {
            #expect(count > 0, "LATCHKEY_SEED=\(seed): \(tally)")
        }
    }
}
