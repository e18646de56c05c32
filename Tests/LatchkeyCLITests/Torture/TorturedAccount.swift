import JOSE
import LatchkeyTesting
import Synchronization

/// Everybody who holds something of one account: its owner with some devices, now and then a thief. Each device is one
/// token store with up to four tabs, which keeps the rules of `docs/refresh.md`.
struct TorturedAccount: Sendable {
    /// How soon a device refreshes again.
    enum Manner: Sendable {
        /// No sooner than the grace after the last time, as the rules ask for.
        case patient
        /// At once: a request of its own that it took for lost may overtake it.
        case eager
    }

    let client: TortureClient
    let manner: Manner
    let administrator: String
    let seed: UInt64
    /// Seconds: `LATCHKEY_REFRESH_GRACE`.
    let grace: Int
    let watch: TortureWatch

    private func attempt(_ random: inout SeededGenerator) -> TortureClient.Attempt {
        // One in ten hangs up before it can have been answered: an answer lost.
        let hurried = random.chance(10)
        return TortureClient.Attempt(
            node: Int.random(in: client.ports.indices, using: &random),
            milliseconds: hurried ? Int64.random(in: 1...60, using: &random) : 4_000)
    }

    private func pause(_ milliseconds: ClosedRange<Int>, _ random: inout SeededGenerator) async {
        let end = ContinuousClock.now + .milliseconds(Int.random(in: milliseconds, using: &random))
        while ContinuousClock.now < end, !watch.isOver { try? await Task.sleep(for: .milliseconds(20)) }
    }

    /// Asks again, with pauses, until it is known what became of it, or the run is over.
    private func insist(
        _ random: inout SeededGenerator, _ ask: (TortureClient.Attempt) async -> Operation
    ) async -> Operation {
        while true {
            let operation = await ask(attempt(&random))
            if operation.outcome != .unknown || watch.isOver { return operation }
            await pause(20...400, &random)
        }
    }

    // MARK: the account

    func live() async {
        var random = SeededGenerator(seed: seed)
        _ = await insist(&random) { await client.register(0, $0) }
        var (password, next) = (0, 1)
        await withTaskGroup(of: Void.self) { group in
            var devices: [TokenStore] = []
            while !watch.isOver {
                devices.removeAll(where: \.isOver)
                switch Int.random(in: 0..<20, using: &random) {
                case 0 where !devices.isEmpty:
                    password = await change(password, next, by: devices[0], &random)
                    next += 1
                case 1: await disable(password, &random)
                default:
                    if devices.count < 3, let device = await client.logIn(password, attempt(&random)).1 {
                        devices.append(device)
                        watch.took(device, of: client.account)
                        let own = random.next()
                        group.addTask { await use(device, as: manner, seed: own) }
                        if manner == .eager, random.chance(3) {
                            let (theirs, after) = (random.next(), Int.random(in: 0...3_000, using: &random))
                            group.addTask { await steal(device, after: after, seed: theirs) }
                        }
                    }
                }
                await pause(200...2_000, &random)
            }
        }
        watch.rests(client.account, password: password)
    }

    /// Changes the password while somebody logs in with the old one.
    /// - Returns: the one that opens the account from now on.
    private func change(
        _ old: Int, _ new: Int, by device: TokenStore, _ random: inout SeededGenerator
    ) async -> Int {
        let (first, second) = (attempt(&random), attempt(&random))
        async let change = client.changePassword(from: old, to: new, by: device, first)
        async let racer = client.logIn(old, second).1
        let outcome = await change.outcome
        if let racer = await racer { watch.took(racer, of: client.account) }
        switch outcome {
        case .ok: return new
        case .refused, .absurd: return old
        case .unknown:
            // It may be either: whichever opens the account.
            while !watch.isOver {
                for password in [new, old] {
                    let (login, store) = await client.logIn(password, attempt(&random))
                    if let store { watch.took(store, of: client.account) }
                    if login.outcome == .ok { return password }
                }
                await pause(20...400, &random)
            }
            return old
        }
    }

    /// Disables the account while somebody logs in, and enables it again.
    private func disable(_ password: Int, _ random: inout SeededGenerator) async {
        let (first, second) = (attempt(&random), attempt(&random))
        async let disabled = client.setStatus(.disable, by: administrator, first)
        async let racer = client.logIn(password, second).1
        let outcome = await disabled.outcome
        if let racer = await racer { watch.took(racer, of: client.account) }
        if outcome == .unknown {
            _ = await insist(&random) { await client.setStatus(.disable, by: administrator, $0) }
        }
        _ = await client.logIn(password, attempt(&random))
        // Over or not, the account is left as it was found: no fault lasts longer than these tries do.
        for _ in 0..<200 {
            if await client.setStatus(.enable, by: administrator, attempt(&random)).outcome == .ok { return }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

    // MARK: a device

    private func use(_ device: TokenStore, as manner: Manner, seed: UInt64) async {
        var random = SeededGenerator(seed: seed)
        while !watch.isOver, !device.isOver {
            switch manner {
            case .patient: await pause((grace * 1000 + 100)...(grace * 1000 + 3_000), &random)
            case .eager: await pause(0...500, &random)
            }
            guard !watch.isOver else { return }
            switch Int.random(in: 0..<12, using: &random) {
            case 0...1: _ = await client.use(device, device.tokens, attempt(&random))
            case 2 where random.chance(manner == .patient ? 3 : 2): await end(device, &random)
            case 3 where random.chance(manner == .patient ? 3 : 2): await revokeAccess(device, &random)
            default: await refresh(device, tabs: Int.random(in: 1...4, using: &random), &random)
            }
        }
    }

    /// So many tabs find at the same time that the access token is about to expire. All their tries are carried out
    /// within the grace: the last begins in time for what may hold it up on its way.
    private func refresh(_ device: TokenStore, tabs: Int, _ random: inout SeededGenerator) async {
        let tokens = device.tokens
        let last = ContinuousClock.now + .seconds(5)
        let seeds = (0..<tabs).map { _ in random.next() }
        await withTaskGroup(of: Void.self) { group in
            for seed in seeds {
                group.addTask {
                    var random = SeededGenerator(seed: seed)
                    // Read again before each try: another tab may have refreshed meanwhile.
                    while !device.isOver, device.tokens.generation == tokens.generation, ContinuousClock.now < last {
                        let operation = await client.refresh(device, tokens, attempt(&random))
                        if operation.isRefused, device.tokens.generation == tokens.generation { device.end() }
                        if operation.outcome != .unknown || watch.isOver { return }
                        await pause(50...600, &random)
                    }
                }
            }
        }
    }

    /// Logs out or revokes while a tab refreshes, until that is known to have happened.
    private func end(_ device: TokenStore, _ random: inout SeededGenerator) async {
        let logsOut = random.chance(2)
        let tokens = device.tokens
        let (seed, other) = (random.next(), attempt(&random))
        async let beside = client.refresh(device, tokens, other)
        var own = SeededGenerator(seed: seed)
        let ended = await insist(&own) { attempt in
            if logsOut {
                await client.logOut(device, attempt)
            } else {
                await client.revoke(device, attempt)
            }
        }
        _ = await beside
        device.end()
        if ended.outcome == .ok { watch.ended(device, of: client.account) }
    }

    /// Revokes the access token, until that is known to have happened. The session goes on.
    private func revokeAccess(_ device: TokenStore, _ random: inout SeededGenerator) async {
        let tokens = device.tokens
        let revoked = await insist(&random) { await client.revokeAccess(device, tokens, $0) }
        if revoked.outcome == .ok { watch.revoked(tokens, of: device, of: client.account) }
        _ = await client.use(device, tokens, attempt(&random))
    }

    /// Copies the tokens and uses them as if they were its own, in step with the owner or not.
    private func steal(_ device: TokenStore, after milliseconds: Int, seed: UInt64) async {
        var random = SeededGenerator(seed: seed)
        await pause(milliseconds...(milliseconds + 1), &random)
        guard !watch.isOver, !device.isOver else { return }
        watch.stole(device.sid)
        let loot = TokenStore(copying: device)
        watch.took(loot, of: client.account)
        while !watch.isOver, !loot.isOver {
            await pause(0...1_000, &random)
            guard !watch.isOver else { return }
            await refresh(loot, tabs: 1, &random)
        }
    }
}
