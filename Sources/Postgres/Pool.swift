/// The pooled lane: one statement or one transaction at a time on each connection. The shell around `PoolMachine`; lives
/// on the reactor's thread.
final class Pool {
    typealias Grant = (Result<Connection, PostgresError>) -> Void

    private unowned let core: ReactorCore
    private var machine: PoolMachine
    private var byMachineID: [Int: Connection] = [:]
    private var grants: [Int: Grant] = [:]

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

    func lease(deadline: Int64, _ grant: @escaping Grant) {
        guard core.isRunning else { return grant(.failure(.unavailable(.shutDown))) }
        switch machine.lease(now: monotonicNow(), deadline: deadline) {
        case .use(let id):
            guard let connection = byMachineID[id] else { return grant(.failure(.unavailable(.cannotConnect))) }
            grant(.success(connection))
        case .wait(let waiter, let opening):
            grants[waiter] = grant
            if let opening { open(opening) }
        case .refuse:
            grant(.failure(.unavailable(.tooManyWaiting)))
        }
    }

    private func open(_ id: Int) {
        byMachineID[id] = core.open { [unowned self] connection, event in
            switch event {
            case .ready where byMachineID[id] != nil && !opened.contains(id):
                opened.insert(id)
                free(id)
            case .lost:
                opened.remove(id)
                byMachineID[id] = nil
                fail(machine.lost(id, now: monotonicNow()), .cannotConnect)
            case .ready, .notified: break
            }
        }
    }

    private var opened: Set<Int> = []

    /// The lease has ended; the connection goes to who has waited longest. One that has just broken does not, nor one
    /// that was left in a transaction.
    func release(_ connection: Connection) {
        guard connection.isClean else { return connection.close() }
        guard let (id, _) = byMachineID.first(where: { $0.value === connection }) else { return }
        free(id)
    }

    private func free(_ id: Int) {
        guard case .serve(let waiter) = machine.freed(id), let connection = byMachineID[id] else { return }
        grants.removeValue(forKey: waiter)?(.success(connection))
    }

    func elapsed(now: Int64) {
        let (expired, opening) = machine.elapsed(now: now)
        fail(expired, .leaseTimedOut)
        if let opening { open(opening) }
    }

    private func fail(_ waiters: [Int], _ reason: PostgresError.Unavailability) {
        for waiter in waiters { grants.removeValue(forKey: waiter)?(.failure(.unavailable(reason))) }
    }

    func shutDown() {
        fail(Array(grants.keys), .shutDown)
    }

    /// One statement by itself: leased, run and released without a further hop.
    func run(
        _ query: Query, deadline: Int64, _ completion: @escaping @Sendable (Result<ResultSet, PostgresError>) -> Void
    ) {
        lease(deadline: deadline) { [unowned self] granted in
            switch granted {
            case .failure(let error): completion(.failure(error))
            case .success(let connection):
                statements += 1
                connection.run(
                    Batch(queries: [query], deadline: deadline) { [unowned self] outcome in
                        completion(outcome.single)
                        release(connection)
                    })
            }
        }
    }
}

extension BatchOutcome {
    /// The outcome of an autocommit statement. After a warning its commit may not have reached the standby.
    var single: Result<ResultSet, PostgresError> {
        switch self {
        case .done(let results, warned: false): results.first.map { .success($0) } ?? .failure(.unexpectedRowCount(0))
        case .done, .broken: .failure(.unknownOutcome)
        case .refused(let error): .failure(error)
        }
    }
}
