import Postgres

@testable import Latchkey

/// The clients' part: when a tab presents its store's token, and what it does with the answer.
extension RefreshSimulation {
    private var grace: Int64 { policy.grace * Self.second }

    /// A store whose clients keep the rules; not the thief's.
    private func keepsRules(_ store: Int) -> Bool { store == 0 && world != .careless }

    mutating func present(_ tab: Int) {
        let index = tabs[tab].store
        let store = stores[index]
        guard !store.isOut, tabs[tab].request == nil else { return }
        // Read the store again: another tab has refreshed meanwhile, and planned this one's next time.
        if index == 0, store.written > 0, time - store.written < grace { return }
        if keepsRules(index), time - store.burst >= burst {
            // One refresh is over: the next begins when nothing of it is on its way, and the grace has passed.
            let rested = store.lastTry + grace
            guard store.underWay == 0, time >= rested else {
                return plan(tab, after: max(0, rested - time) + Int64.random(in: 0...patience, using: &random))
            }
            stores[index].burst = time
        }
        lastRequest += 1
        let id = lastRequest
        requests[id] = Request(tab: tab, node: chooseNode(), presented: store.token, until: time + patience)
        tabs[tab].request = id
        stores[index].underWay += 1
        if !isLost() { agenda.add(.arrive(id), at: time + latency()) }
        if chance(100) { agenda.add(.step, at: time + Int64.random(in: 0...patience, using: &random)) }
        agenda.add(.giveUp(id), at: time + patience)
    }

    /// On the way to a node or back: at most a sixth of what a client waits.
    mutating func latency() -> Int64 {
        Int64.random(in: 1_000...(chance(20) ? patience / 6 : 60_000), using: &random)
    }

    /// nil: a 503.
    mutating func take(_ answer: Answer?, of id: Int) throws {
        guard let request = requests.removeValue(forKey: id), tabs[request.tab].request == id else { return }
        let index = tabs[request.tab].store
        over(request.tab)
        // Presented when it was void already, and answered; one that had expired ends nothing.
        if answer != nil, stores.count == 2, let since = stores[index].voidSince, request.until - patience >= since,
            !truth.excuses(request.presented, at: request.now)
        {
            bothActed = true
        }
        switch answer {
        case nil: tryAgain(request.tab)
        case .refused:
            // Read the store once more.
            guard stores[index].token == request.presented else { return }
            stores[index].isOut = true
            let isFalse = stores.count == 1 && world != .strict && !truth.excuses(request.presented, at: request.now)
            if isFalse, world == .careless { tally.falseLogOuts += 1 }
            if isFalse, world != .careless { throw failure("an honest client is logged out with \(request.presented)") }
        case .granted(let generation):
            tally.refreshes += 1
            write(generation, to: index)
            tabs[request.tab].tries = 0
        }
    }

    mutating func giveUp(_ id: Int) {
        guard let request = requests[id], tabs[request.tab].request == id else { return }
        over(request.tab)
        tryAgain(request.tab)
    }

    private mutating func over(_ tab: Int) {
        tabs[tab].request = nil
        stores[tabs[tab].store].underWay -= 1
        stores[tabs[tab].store].lastTry = time
    }

    /// With pauses that grow; now and then the lid is closed meanwhile.
    private mutating func tryAgain(_ tab: Int) {
        tabs[tab].tries += 1
        let pause = min(patience, 200_000 << Int64(min(tabs[tab].tries, 8)))
        var sleep: Int64 = 0
        if chance(isDrowsy ? 2 : 20) {
            // Where little is forgiven, the lid is opened in time, more often than not.
            let longest = policy.recovery < policy.idleTTL ? Self.day : isDrowsy ? 10 * Self.day : 3 * Self.day
            sleep = Int64.random(in: 0...longest, using: &random)
        }
        plan(tab, after: Int64.random(in: pause / 2...pause, using: &random) + sleep)
    }

    private mutating func write(_ generation: Int64, to index: Int) {
        stores[index].token = generation
        stores[index].written = time
        stores[index].voidSince = nil
        noteVoidStores()
        count(grantTo: index)
        // When the access token is about to expire, or when the lid is opened again.
        var rest = Int64.random(in: 61...600, using: &random) * Self.second
        if chance(10) {
            tally.sleeps += 1
            rest += Int64.random(in: 0...(chance(4) ? 10 * Self.day : 8 * 3600 * Self.second), using: &random)
        }
        if index == 1 { rest = Int64.random(in: 0...rest, using: &random) }
        for tab in tabs.indices where tabs[tab].store == index {
            plan(tab, after: rest + Int64.random(in: 0...max(1, burst / 2), using: &random))
        }
        // A thief in step comes right behind the owner, within the grace.
        if index == 0, isInStep, stores.count == 2 {
            plan(tabs.count - 1, after: Int64.random(in: 0...max(1, grace / 2), using: &random))
        }
    }

    private mutating func count(grantTo index: Int) {
        guard stores.count == 2 else { return }
        if stores[0].token == stores[1].token {
            if differingFor != nil { tally.lockstep += 1 }
            differingFor = nil
        } else {
            differingFor = (differingFor ?? 0) + 1
        }
    }

    mutating func countEnd() {
        guard stores.count == 2 else { return }
        tally.caught += 1
        tally.totalSteps += differingFor ?? 0
        tally.mostSteps = max(tally.mostSteps, differingFor ?? 0)
    }
}
