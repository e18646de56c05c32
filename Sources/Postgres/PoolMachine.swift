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
    private var waiters: [(id: WaiterID, deadline: Int64)] = []
    private var nextConnection = 0
    private var nextWaiter = 0
    private var failures = 0
    private var openNotBefore: Int64 = 0

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
        return .wait(nextWaiter, opening: openIfUseful(now: now))
    }

    /// A connection for the waiters who have none on its way, unless the last attempt failed a moment ago.
    private mutating func openIfUseful(now: Int64) -> ConnectionID? {
        let opening = connections.values.count { $0 == .opening }
        guard connections.count < maximum, opening < waiters.count, now >= openNotBefore else { return nil }
        nextConnection += 1
        connections[nextConnection] = .opening
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
        if state == .opening { failures = 0 }
        if waiters.isEmpty {
            connections[connection] = .idle
            idle.append(connection)
            return .park
        }
        connections[connection] = .leased
        return .serve(waiters.removeFirst().id)
    }

    /// A connection is gone. Where it never came to be, nobody who waits will fare better for now: they fail at once
    /// instead of at their deadline, and the next attempt is put off, twice as long each time up to a second.
    mutating func lost(_ connection: ConnectionID, now: Int64) -> [WaiterID] {
        guard let state = connections.removeValue(forKey: connection) else { return [] }
        idle.removeAll { $0 == connection }
        guard state == .opening else { return [] }
        failures += 1
        openNotBefore = now + min(1_000_000_000, 50_000_000 << Int64(min(failures - 1, 5)))
        guard connections.values.allSatisfy({ $0 == .opening }) else { return [] }
        defer { waiters = [] }
        return waiters.map(\.id)
    }

    /// Called when `due` has come: who has waited too long, and a connection to open now that the pause is over.
    mutating func elapsed(now: Int64) -> (expired: [WaiterID], opening: ConnectionID?) {
        let expired = waiters.filter { $0.deadline <= now }.map(\.id)
        waiters.removeAll { $0.deadline <= now }
        return (expired, waiters.isEmpty ? nil : openIfUseful(now: now))
    }

    /// When `elapsed` must be called next.
    var due: Int64? {
        guard let first = waiters.map(\.deadline).min() else { return nil }
        let opening = connections.values.count { $0 == .opening }
        let mayOpen = connections.count < maximum && opening < waiters.count
        return mayOpen ? min(first, openNotBefore) : first
    }

    var leasedCount: Int { connections.values.count { $0 == .leased } }
    var idleCount: Int { idle.count }
    var waitingCount: Int { waiters.count }
}
