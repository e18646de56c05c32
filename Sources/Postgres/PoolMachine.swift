/// The pool's decisions, without I/O: who gets which connection, when one is opened, who has waited too long. Times are
/// nanoseconds of the monotonic clock.
struct PoolMachine {
    typealias ConnectionID = Int
    typealias WaiterID = Int

    private enum State { case opening, idle, leased }

    let maximum: Int
    let maximumWaiting: Int
    private var connections: [ConnectionID: State] = [:]
    private var idle: [ConnectionID] = []
    /// By id, which grows.
    private var waiters: [(id: WaiterID, deadline: Int64)] = []
    /// No waiter's deadline is earlier; it may be that of one who has left.
    private var earliest = Int64.max
    private var nextConnection = 0
    private var nextWaiter = 0
    private var openingCount = 0
    private var backoff = Backoff()

    init(maximum: Int, maximumWaiting: Int) {
        self.maximum = maximum
        self.maximumWaiting = maximumWaiting
    }

    enum Lease: Equatable {
        case use(ConnectionID)
        case wait(WaiterID, opening: ConnectionID?)
        case refuse
    }

    mutating func lease(now: Int64, deadline: Int64) -> Lease {
        if let connection = idle.popLast() {
            connections[connection] = .leased
            return .use(connection)
        }
        guard waiters.count < maximumWaiting else { return .refuse }
        nextWaiter += 1
        waiters.append((nextWaiter, deadline))
        earliest = min(earliest, deadline)
        return .wait(nextWaiter, opening: openIfUseful(now: now))
    }

    /// A waiter leaves. False where it does not wait: it was served, or has failed.
    mutating func withdraw(_ waiter: WaiterID) -> Bool {
        guard let index = waiters.firstIndex(where: { $0.id == waiter }) else { return false }
        waiters.remove(at: index)
        return true
    }

    private var mayOpen: Bool { connections.count < maximum && openingCount < waiters.count }

    /// A connection for the waiters who have none on its way, unless the last attempt failed a moment ago.
    private mutating func openIfUseful(now: Int64) -> ConnectionID? {
        guard mayOpen, now >= backoff.notBefore else { return nil }
        nextConnection += 1
        connections[nextConnection] = .opening
        openingCount += 1
        return nextConnection
    }

    enum Freed: Equatable {
        case serve(WaiterID)
        case park
        case unknown
    }

    /// A connection was opened, or its lease has ended.
    mutating func freed(_ connection: ConnectionID) -> Freed {
        guard let state = connections[connection], state != .idle else { return .unknown }
        if state == .opening {
            openingCount -= 1
            backoff.succeeded()
        }
        if waiters.isEmpty {
            connections[connection] = .idle
            idle.append(connection)
            return .park
        }
        connections[connection] = .leased
        return .serve(waiters.removeFirst().id)
    }

    /// A connection is gone. Where it never came to be, nobody who waits will fare better for now: they fail at once
    /// instead of at their deadline, and the next attempt is put off.
    /// - Parameter chance: any number, for the length of that pause.
    mutating func lost(_ connection: ConnectionID, now: Int64, chance: UInt64) -> [WaiterID] {
        guard let state = connections.removeValue(forKey: connection) else { return [] }
        idle.removeAll { $0 == connection }
        guard state == .opening else { return [] }
        openingCount -= 1
        backoff.failed(now: now, chance: chance)
        guard connections.count == openingCount else { return [] }
        defer { waiters = [] }
        return waiters.map(\.id)
    }

    /// Called when `due` has come: who has waited too long, and a connection to open now that the pause is over.
    mutating func elapsed(now: Int64) -> (expired: [WaiterID], opening: ConnectionID?) {
        var expired: [WaiterID] = []
        if earliest <= now {
            expired = waiters.filter { $0.deadline <= now }.map(\.id)
            waiters.removeAll { $0.deadline <= now }
            earliest = waiters.map(\.deadline).min() ?? .max
        }
        return (expired, openIfUseful(now: now))
    }

    /// When `elapsed` must be called next; early is harmless.
    var due: Int64? {
        guard !waiters.isEmpty else { return nil }
        return mayOpen ? min(earliest, backoff.notBefore) : earliest
    }

    var connectionCount: Int { connections.count }
    var leasedCount: Int { connections.values.count { $0 == .leased } }
    var idleCount: Int { idle.count }
    var waitingCount: Int { waiters.count }
}
