import LatchkeyTesting
import Testing

@testable import Postgres

/// The pool's machine driven by chance beside a plain book of who waits and which connection does what.
private struct Walk {
    let maximum: Int
    let maximumWaiting: Int
    var machine: PoolMachine
    var chance: SeededGenerator
    var now: Int64 = 0
    var opening: Set<Int> = []
    var idle: Set<Int> = []
    var leased: Set<Int> = []
    /// In the order in which they came, with their deadlines.
    var waiting: [(id: Int, deadline: Int64)] = []
    var seen: Set<Int> = []
    var served = 0

    init(seed: UInt64) {
        chance = SeededGenerator(seed: seed)
        maximum = Int.random(in: 1...5, using: &chance)
        maximumWaiting = Int.random(in: 1...20, using: &chance)
        machine = PoolMachine(maximum: maximum, maximumWaiting: maximumWaiting)
    }

    mutating func step() {
        now += Int64.random(in: 0...30_000_000, using: &chance)
        switch Int.random(in: 0..<100, using: &chance) {
        case 0..<35: lease()
        case 35..<55: if let id = opening.union(leased).randomElement(using: &chance) { free(id) }
        case 55..<60: free(Int.random(in: 0..<1000, using: &chance))
        case 60..<70: if let id = opening.randomElement(using: &chance) { lose(id) }
        case 70..<77: if let id = idle.union(leased).randomElement(using: &chance) { lose(id) }
        case 77..<85: withdraw()
        default: elapse()
        }
        check()
    }

    private mutating func lease() {
        let deadline = now + Int64.random(in: 1...500_000_000, using: &chance)
        switch machine.lease(now: now, deadline: deadline) {
        case .use(let id):
            #expect(idle.remove(id) != nil, "only an idle connection is used at once")
            leased.insert(id)
            served += 1
        case .wait(let waiter, let id):
            #expect(idle.isEmpty, "nobody waits beside an idle connection")
            #expect(seen.insert(waiter).inserted, "a waiter's number is nobody else's")
            waiting.append((waiter, deadline))
            if let id { open(id) }
        case .refuse:
            #expect(waiting.count == maximumWaiting)
        }
    }

    private mutating func open(_ id: Int) {
        #expect(!opening.contains(id) && !idle.contains(id) && !leased.contains(id))
        opening.insert(id)
    }

    private mutating func free(_ id: Int) {
        let isKnown = opening.contains(id) || leased.contains(id)
        switch machine.freed(id) {
        case .serve(let waiter):
            #expect(isKnown)
            #expect(waiting.first?.id == waiter, "who has waited longest is served, and once")
            if !waiting.isEmpty { waiting.removeFirst() }
            opening.remove(id)
            leased.insert(id)
            served += 1
        case .park:
            #expect(isKnown && waiting.isEmpty)
            opening.remove(id)
            leased.remove(id)
            idle.insert(id)
        case .unknown:
            #expect(!isKnown)
        }
    }

    private mutating func lose(_ id: Int) {
        let failed = machine.lost(id, now: now, chance: chance.next())
        let wasOpening = opening.remove(id) != nil
        idle.remove(id)
        leased.remove(id)
        if wasOpening, idle.isEmpty, leased.isEmpty {
            #expect(failed == waiting.map(\.id), "nobody will fare better")
            waiting = []
        } else {
            #expect(failed.isEmpty)
        }
    }

    private mutating func withdraw() {
        let id = waiting.randomElement(using: &chance)?.id ?? Int.random(in: 0..<1000, using: &chance)
        let waited = waiting.contains { $0.id == id }
        #expect(machine.withdraw(id) == waited)
        waiting.removeAll { $0.id == id }
    }

    private mutating func elapse() {
        if !waiting.isEmpty, let due = machine.due, Bool.random(using: &chance) { now = max(now, due) }
        let late = waiting.filter { $0.deadline <= now }.map(\.id)
        let (expired, id) = machine.elapsed(now: now)
        #expect(expired == late, "whose deadline has come is told, and nobody else")
        waiting.removeAll { $0.deadline <= now }
        if let id { open(id) }
    }

    private func check() {
        #expect(opening.count + idle.count + leased.count <= maximum, "never more than the maximum")
        #expect(machine.connectionCount == opening.count + idle.count + leased.count, "nothing leaks")
        #expect(machine.leasedCount == leased.count)
        #expect(machine.waitingCount == waiting.count, "no waiter is lost")
        #expect(idle.isEmpty || waiting.isEmpty)
        if let first = waiting.map(\.deadline).min() {
            let due = machine.due
            #expect(due != nil && due ?? .max <= first, "the pool wakes for the first deadline at the latest")
        } else {
            #expect(machine.due == nil, "and not for nothing")
        }
    }

    /// Whoever still waits is served once every lease ends and the pause is over.
    mutating func finish() {
        now += 1_000_000_000_000
        elapse()
        lease()
        for _ in 0..<1000 where !waiting.isEmpty || !leased.isEmpty {
            if let id = opening.union(leased).first { free(id) } else { elapse() }
            check()
        }
        #expect(waiting.isEmpty && leased.isEmpty)
    }
}

@Suite("The pool's decisions, at random")
struct PoolWalkTests {
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `Thousands of steps leave no waiter lost or served twice, and no connection too many`(seed: UInt64) {
        var walk = Walk(seed: seed)
        for _ in 0..<2000 { walk.step() }
        walk.finish()
        #expect(walk.served > 200)
    }
}
