/// The pooled lane: one statement or one transaction at a time on each connection. The shell around `PoolMachine`; lives
/// on the reactor's thread.
final class Pool {
    /// What a connection is wanted for.
    private enum Want {
        case statement(Query, deadline: Int64, Reply<ResultSet>)
        case lease(deadline: Int64, Reply<Lease>)

        var deadline: Int64 {
            switch self {
            case .statement(_, let deadline, _), .lease(let deadline, _): deadline
            }
        }

        var caller: ObjectIdentifier {
            switch self {
            case .statement(_, _, let reply): ObjectIdentifier(reply)
            case .lease(_, let reply): ObjectIdentifier(reply)
            }
        }

        func waits() {
            switch self {
            case .statement(_, _, let reply): reply.stage = .waiting
            case .lease(_, let reply): reply.stage = .waiting
            }
        }

        func fail(_ reason: PostgresError.Unavailability) {
            switch self {
            case .statement(_, _, let reply): reply.answer(.failure(.unavailable(reason)))
            case .lease(_, let reply): reply.answer(.failure(.unavailable(reason)))
            }
        }
    }

    /// What a cancelled task leaves in flight may go on for so long: as long as the server itself would take to see that
    /// its client has gone.
    private static let leftBehind: Int64 = 1_000_000_000

    private unowned let core: ReactorCore
    private var machine: PoolMachine
    private var connections: [Int: Connection] = [:]
    private var wants: [Int: Want] = [:]

    init(core: ReactorCore) {
        self.core = core
        machine = PoolMachine(
            maximum: core.configuration.maximumConnections, maximumWaiting: core.configuration.maximumWaiting)
    }

    var due: Int64? { machine.due }
    var waitingCount: Int { machine.waitingCount }
    var leasedCount: Int { machine.leasedCount }
    var idleCount: Int { machine.idleCount }
    /// Sent since the start.
    var statements: UInt64 = 0

    func lease(deadline: Int64, _ reply: Reply<Lease>) { take(.lease(deadline: deadline, reply)) }

    /// One statement by itself: leased, run and released without a further hop.
    func run(_ query: Query, deadline: Int64, _ reply: Reply<ResultSet>) {
        take(.statement(query, deadline: deadline, reply))
    }

    private func take(_ want: Want) {
        guard core.isRunning else { return want.fail(.shutDown) }
        let now = monotonicNow()
        guard now < want.deadline else { return want.fail(.leaseTimedOut) }
        switch machine.lease(now: now, deadline: want.deadline) {
        case .use(let id): serve(want, with: id)
        case .wait(let waiter, let opening):
            want.waits()
            wants[waiter] = want
            if let opening { open(opening) }
        case .refuse: want.fail(.tooManyWaiting)
        }
    }

    private func serve(_ want: Want, with id: Int) {
        guard let connection = connections[id] else { return want.fail(.cannotConnect) }
        switch want {
        case .lease(let deadline, let reply):
            reply.answer(.success(Lease(core.reactor, connection, deadline: deadline)))
        case .statement(let query, let deadline, let reply):
            reply.stage = .inFlight
            statements += 1
            connection.run(
                Batch(queries: [query], deadline: deadline) { [unowned self] outcome in
                    reply.answer(outcome.single)
                    release(connection)
                })
        }
    }

    private func open(_ id: Int) {
        let connection = core.open { [unowned self] connection, event in
            switch event {
            case .ready where connection.place == nil:
                connection.place = id
                free(id)
            case .ready where connection.isLeftBehind: clear(connection)
            case .lost:
                connections[id] = nil
                fail(machine.lost(id, now: monotonicNow(), chance: .random(in: .min ... .max)), .cannotConnect)
            case .ready, .notified: break
            }
        }
        connections[id] = connection
    }

    /// The lease has ended; the connection goes to who has waited longest. One that has just broken does not, nor one
    /// that was left in a transaction.
    func release(_ connection: Connection) {
        guard connection.isClean, let id = connection.place else { return connection.close() }
        free(id)
    }

    /// The same for a lease that leaves nothing of a session behind. Where its task was cancelled with a statement in
    /// flight, that one ends first, and its transaction with it: a flood of callers that hang up would otherwise cost a
    /// connection each.
    func releaseWhenDone(_ connection: Connection) {
        guard connection.isBusy else { return clear(connection) }
        connection.isLeftBehind = true
        connection.deadline = min(connection.deadline, monotonicNow() + Self.leftBehind)
    }

    private func clear(_ connection: Connection) {
        connection.isLeftBehind = false
        guard connection.isIdle, !connection.isClean else { return release(connection) }
        connection.run(
            Batch(queries: ["ROLLBACK"], deadline: monotonicNow() + Self.leftBehind) { [unowned self] _ in
                release(connection)
            })
    }

    private func free(_ id: Int) {
        guard case .serve(let waiter) = machine.freed(id), let want = wants.removeValue(forKey: waiter) else { return }
        serve(want, with: id)
    }

    /// The caller waits no longer.
    func withdraw(_ caller: ObjectIdentifier) {
        guard let waiter = wants.first(where: { $0.value.caller == caller })?.key else { return }
        wants[waiter] = nil
        _ = machine.withdraw(waiter)
    }

    func elapsed(now: Int64) {
        let (expired, opening) = machine.elapsed(now: now)
        fail(expired, .leaseTimedOut)
        if let opening { open(opening) }
    }

    private func fail(_ waiters: [Int], _ reason: PostgresError.Unavailability) {
        for waiter in waiters { wants.removeValue(forKey: waiter)?.fail(reason) }
    }

    func shutDown() {
        fail(Array(wants.keys), .shutDown)
    }
}
