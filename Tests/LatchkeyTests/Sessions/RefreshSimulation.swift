import JOSE
import LatchkeyTesting
import Postgres

@testable import Latchkey

/// One session, the stores that hold its tokens, the nodes and the row in between, in simulated time. The decision is the
/// service's own; what is modelled is what carries it: the conditional statement in its commit group, the slow path under
/// the row's lock, lost requests, answers and commits, nodes that stand still or die, and a clock that steps.
/// Microseconds of true time where no unit is named.
struct RefreshSimulation {
    struct Failure: Error, CustomStringConvertible { let description: String }

    enum World: Sendable, CaseIterable {
        /// One store whose tabs keep the rules of `docs/refresh.md`.
        case honest
        /// The same, which tries on whenever an answer is missing, all tabs at once.
        case careless
        /// The same, with grace and recovery 0.
        case strict
        /// A thief copies the store, and acts when he likes, or in step with the owner.
        case stolen
    }

    /// The row of `sessions`.
    struct Row {
        var generation: Int64 = 1
        var confirmed: Int64 = 0
        var confirmedAt: Instant
        var issuedAt: Instant
        var idleUntil: Instant
        var maxUntil: Instant
        var endedAt: Instant?
    }

    /// A request on its way through a node.
    struct Request {
        let tab: Int
        let node: Int
        let presented: Int64
        /// After this its client has given up.
        let until: Int64
        /// What it writes once it commits; nil: nothing.
        var change: Row?
        /// What it answers once it has committed.
        var answer: Answer?
        /// From its arrival to its answer.
        var isOnNode = false
        /// Its node died: nobody will answer.
        var isForgotten = false
        /// What its node had sent to the database when it died never arrived.
        var isUnsent = false
        /// Waits for the row's lock since.
        var waitsSince: Int64?
        var lockedAt: Int64 = 0
        /// Its commit is on its way: what becomes of it is not the node's any more.
        var isCommitting = false
        /// As it was when the slow path began. Nobody decides on it; a mutant does.
        var seenBefore: Row?
        /// The database's clock under the lock.
        var now = RefreshSimulation.epoch
    }

    enum Answer: Equatable {
        case granted(Int64)
        case refused
    }

    struct Store {
        var token: Int64
        var isOut = false
        /// When tokens were written to it.
        var written: Int64
        /// One refresh: the tries of all tabs, from the first one on. How many are under way, and when the last ended.
        var burst: Int64
        var underWay = 0
        var lastTry: Int64
        /// Since when its token is neither the newest nor the last used one; nil: it is one of them.
        var voidSince: Int64?
    }

    struct Tab {
        let store: Int
        var request: Int?
        var tries = 0
    }

    enum Event {
        case wake(tab: Int)
        case arrive(Int), execute(Int), commit(Int), lock(Int), decide(Int), commitAlone(Int), rollBack(Int)
        case hear(Int, Reply), answer(Int, Answer?), giveUp(Int)
        case freeze(node: Int), die(node: Int)
        case step, steal
    }

    struct Tally: Sendable {
        var refreshes = 0, repeats = 0, recoveries = 0, lost = 0, unknown = 0, alone = 0, steps = 0, sleeps = 0
        var pauses = 0, held = 0, deaths = 0, mostLostAtOnce = 0
        var falseLogOuts = 0, caught = 0, unseen = 0, lockstep = 0, mostSteps = 0, totalSteps = 0, divided = 0
    }

    static let epoch = Instant(seconds: 1_700_000_000)
    static let second: Int64 = 1_000_000
    static let day: Int64 = 86_400 * second

    let world: World
    let policy: SessionPolicy
    let mutant: RefreshMutant?
    var random: SeededGenerator
    var time: Int64 = 0
    /// By how much the database's clock is ahead.
    var offset: Int64 = 0
    var row: Row
    /// Who holds the row's lock, and who waits for it in turn.
    var holder: Int?
    var waiting: [Int] = []
    var nodes: [Node]
    var requests: [Int: Request] = [:]
    var lastRequest = 0
    var stores: [Store]
    var tabs: [Tab] = []
    var isInStep = false
    /// A laptop that is seldom open, on a bad line.
    let isDrowsy: Bool
    var lastStep: Int64 = .min / 2
    var agenda = Agenda()
    var truth: RefreshTruth
    var tally = Tally()
    /// Grants since the stores' tokens differed.
    var differingFor: Int?
    /// Two stores held different successors, and both acted: the one, and then the other, whose token was void by that.
    var bothActed = false

    /// How long a client waits for an answer: no request is carried out later than that. With what follows, and with the
    /// clock stepping forward by a fifth of the grace, one refresh is over within the grace.
    var patience: Int64 { policy.grace == 0 ? 10 * Self.second : policy.grace * Self.second / 4 }
    /// How long the tries of one refresh, of all tabs, may go on.
    var burst: Int64 { policy.grace * Self.second / 2 }

    init(seed: UInt64, world: World, mutant: RefreshMutant? = nil) {
        self.world = world
        self.mutant = mutant
        random = SeededGenerator(seed: seed)
        isDrowsy = Int.random(in: 0..<3, using: &random) == 0
        nodes = Array(repeating: Node(), count: Int.random(in: 2...3, using: &random))
        let idle: Int64 = 14 * 86_400
        let grace = world == .strict ? 0 : Int64.random(in: 6...60, using: &random)
        let recovery = world == .strict ? 0 : Int.random(in: 0..<4, using: &random) == 0 ? 86_400 : idle
        policy = SessionPolicy(idleTTL: idle, maxTTL: 90 * 86_400, grace: grace, recovery: recovery)
        let now = Self.epoch
        row = Row(confirmedAt: now, issuedAt: now, idleUntil: now + idle, maxUntil: now + policy.maxTTL)
        truth = RefreshTruth(policy: policy, birth: now)
        stores = [Store(token: 1, written: 0, burst: .min / 2, lastTry: .min / 2)]
        let count = Int.random(in: 1...8, using: &random)
        for _ in 0..<count { tabs.append(Tab(store: 0)) }
        for tab in tabs.indices { plan(tab, after: Int64.random(in: 61...600, using: &random) * Self.second) }
        if world == .stolen {
            isInStep = chance(2)
            agenda.add(.steal, at: Int64.random(in: 0...2 * Self.day, using: &random))
        }
    }

    mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }

    /// The database's clock.
    var clock: Instant { Instant(microseconds: Self.epoch.microseconds + time + offset) }

    /// Whether what is sent now gets lost.
    mutating func isLost() -> Bool {
        guard chance(isDrowsy ? 4 : 15) else { return false }
        tally.lost += 1
        return true
    }

    mutating func plan(_ tab: Int, after wait: Int64) { agenda.add(.wake(tab: tab), at: time + wait) }

    func failure(_ text: String) -> Failure {
        Failure(
            description: """
                \(world), at \(Double(time) / 1e6) s: \(text); generation \(row.generation), last used \(row.confirmed), \
                stores \(stores.map(\.token)), grace \(policy.grace), recovery \(policy.recovery)
                """)
    }

    /// Lives until so many refreshes were granted, the session is over, or its greatest age is near.
    mutating func live(refreshes: Int) throws {
        while tally.refreshes < refreshes, let (at, event) = agenda.next(), at < 80 * Self.day {
            time = at
            switch event {
            case .wake(let tab): present(tab)
            case .arrive(let id): arrive(id)
            case .execute(let id): try execute(id)
            case .commit(let id): try commit(id, inGroup: true)
            case .lock(let id): lock(id)
            case .decide(let id): try decide(id)
            case .commitAlone(let id): try commit(id, inGroup: false)
            case .rollBack(let id): rollBack(id)
            case .hear(let id, let reply): hear(reply, for: id)
            case .answer(let id, let answer): try take(answer, of: id)
            case .giveUp(let id): giveUp(id)
            case .freeze(let node): freeze(node)
            case .die(let node): die(node, chance(2) ? .arrives : .isLost)
            case .step: step()
            case .steal: steal()
            }
            if stores.allSatisfy(\.isOut) { break }
        }
        if bothActed {
            tally.divided += 1
            if row.endedAt == nil { throw failure("two stores held different successors, both acted, and it lives") }
        }
        if world == .stolen, row.endedAt == nil, stores.count == 2 { tally.unseen += 1 }
    }

    /// After each change of the row or of a store.
    mutating func noteVoidStores() {
        for index in stores.indices {
            let isVoid = stores[index].token != row.generation && stores[index].token != row.confirmed
            stores[index].voidSince = isVoid ? stores[index].voidSince ?? time : nil
        }
    }

    private mutating func step() {
        // Once in a refresh: what may be forgiven is less than the grace.
        guard time - lastStep > 2 * policy.grace * Self.second else { return }
        lastStep = time
        tally.steps += 1
        // Forward by no more than what one refresh leaves of the grace: else the answers of its tabs might differ.
        offset += Int64.random(in: -3600 * Self.second...policy.grace * Self.second / 5, using: &random)
    }

    private mutating func steal() {
        guard row.endedAt == nil else { return }
        stores.append(Store(token: stores[0].token, written: time, burst: .min / 2, lastTry: .min / 2))
        tabs.append(Tab(store: 1))
        plan(tabs.count - 1, after: Int64.random(in: 0...(chance(2) ? 60 : 86_400) * Self.second, using: &random))
    }
}

/// What is to happen, in the order of time; what was added first comes first.
struct Agenda {
    private var heap: [(at: Int64, number: Int, event: RefreshSimulation.Event)] = []
    private var count = 0

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        heap[a].at != heap[b].at ? heap[a].at < heap[b].at : heap[a].number < heap[b].number
    }

    mutating func add(_ event: RefreshSimulation.Event, at: Int64) {
        count += 1
        heap.append((at, count, event))
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> (Int64, RefreshSimulation.Event)? {
        guard let first = heap.first else { return nil }
        heap[0] = heap[heap.count - 1]
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) {
                least = child
            }
            guard least != parent else { break }
            heap.swapAt(parent, least)
            parent = least
        }
        return (first.at, first.event)
    }
}
