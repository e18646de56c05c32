import CLibpq

/// One libpq connection, driven without blocking, always in pipeline mode. Lives on the reactor's thread alone.
///
/// Statements are prepared in a round trip of their own, so that what locks rows leaves in one send: a node frozen
/// after half of a transaction would hold its locks for ever.
final class Connection {
    enum Event { case ready, lost, notified }

    enum Phase {
        case lookingUp
        case connecting
        /// No host could be reached; closed in the reactor's next turn.
        case givenUp
        case idle
        case preparing(Batch, PreparedStatements.Work)
        case running(Batch)
        case scripting(Batch)
        case closed
    }

    let id: Int
    unowned let core: ReactorCore
    var pg: OpaquePointer?
    var phase = Phase.givenUp
    var deadline: Int64 = 0
    /// The search for a server, until one is found.
    var dial: Dial?
    var isSetUp = false
    var warned = false
    /// Its number in the pool, where it is the pool's.
    var place: Int?
    /// What is in flight is nobody's any more.
    var isLeftBehind = false
    /// Where it leads, once it is set up, and what the server answered to the gate.
    var host: ServerTarget.Host?
    var serverAnswer: ResultSet.Row?
    private var prepared = PreparedStatements()
    private var results: [ResultSet] = []
    private var failure: PostgresError?
    /// The batch that runs began outside of a transaction, and is run for the first time.
    private var mayRunAgain = false
    private var arguments = Arguments()
    private var watched: (socket: Int32, events: UInt32) = (-1, 0)
    private let onEvent: (Connection, Event) -> Void

    init(id: Int, core: ReactorCore, onEvent: @escaping (Connection, Event) -> Void) {
        self.id = id
        self.core = core
        self.onEvent = onEvent
    }

    deinit {
        PQfinish(pg)
    }

    var isIdle: Bool { if case .idle = phase { true } else { false } }

    /// With a batch in flight.
    var isBusy: Bool {
        switch phase {
        case .preparing, .running, .scripting: true
        case .lookingUp, .connecting, .givenUp, .idle, .closed: false
        }
    }

    /// Idle, and not in a transaction that its owner forgot.
    var isClean: Bool { isIdle && PQtransactionStatus(pg) == PQTRANS_IDLE }

    /// When something must have happened, in nanoseconds of the monotonic clock; nil where nothing is awaited.
    var due: Int64? {
        switch phase {
        case .idle, .closed: nil
        default: deadline
        }
    }

    /// `due` has come.
    func expire() {
        switch phase {
        case .idle, .closed: break
        case .givenUp: close()
        case .lookingUp, .connecting, .preparing, .running, .scripting:
            guard isSetUp else { return tryNext() }
            core.suspectSilence()
            // A primary that waits for a standby which has taken over takes connections and answers no commit.
            core.preferAnother(than: host)
            close()
        }
    }

    /// The connection must be idle.
    func run(_ batch: Batch) {
        mayRunAgain = batch.script == nil && isClean
        begin(batch)
    }

    private func begin(_ batch: Batch) {
        deadline = batch.deadline
        results = []
        failure = nil
        warned = false
        if let script = batch.script {
            phase = .scripting(batch)
            guard PQexitPipelineMode(pg) == 1, PQsendQuery(pg, script) == 1 else { return broke() }
            return flush()
        }
        if let names = prepared.names(of: batch.queries) { return send(batch, names) }
        let work = prepared.work(
            for: batch.queries, in: PQtransactionStatus(pg) == PQTRANS_INERROR ? .aborted : .sound)
        phase = .preparing(batch, work)
        if work.dropsAll {
            guard PQsendQueryParams(pg, "DEALLOCATE ALL", 0, nil, nil, nil, nil, 1) == 1 else { return broke() }
        }
        for (shape, name) in work.shapes {
            let count = CInt(shape.types.count)
            guard PQsendPrepare(pg, name, shape.sql, count, shape.types) == 1 else { return broke() }
        }
        guard PQpipelineSync(pg) == 1 else { return broke() }
        flush()
    }

    private func send(_ batch: Batch, _ names: [String]) {
        phase = .running(batch)
        for (query, name) in zip(batch.queries, names) {
            guard arguments.send(query, named: name, over: pg) else { return broke() }
        }
        guard PQpipelineSync(pg) == 1 else { return broke() }
        flush()
    }

    /// epoll says that the socket is ready.
    func ready() {
        switch phase {
        case .closed, .givenUp, .lookingUp: break
        case .connecting: pollConnecting()
        case .idle, .preparing, .running, .scripting:
            guard PQconsumeInput(pg) == 1 else { return broke() }
            receive()
            drainNotifications()
            switch phase {
            case .idle, .preparing, .running, .scripting: flush()
            case .closed, .givenUp, .lookingUp, .connecting: break
            }
        }
    }

    private func flush() {
        switch PQflush(pg) {
        case 0: watch(LK_EPOLLIN)
        case 1: watch(LK_EPOLLIN | LK_EPOLLOUT)  // read and write by turns, or both sides wait on full buffers
        default: broke()
        }
    }

    private func receive() {
        var nulls = 0
        while PQisBusy(pg) == 0 {
            guard let result = PQgetResult(pg) else {
                nulls += 1
                if case .scripting(let batch) = phase { return finishScript(batch) }
                if nulls == 2 { return }  // one NULL ends a statement; a second says that nothing more is there
                continue
            }
            nulls = 0
            switch PQresultStatus(result) {
            case PGRES_PIPELINE_SYNC:
                PQclear(result)
                return synced()
            case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
                let refusal = refusal(result)
                PQclear(result)
                // libpq's own word, not the server's: what the server did is not known.
                guard let refusal else { return broke() }
                if failure == nil { failure = refusal }
            case PGRES_PIPELINE_ABORTED:
                PQclear(result)
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                PQclear(result)
                return broke()  // nobody feeds it; PQgetResult would say so for ever
            default:
                results.append(ResultSet(result))
            }
        }
        if PQstatus(pg) == CONNECTION_BAD { broke() }
    }

    private func refusal(_ result: OpaquePointer) -> PostgresError? {
        func field(_ code: CInt) -> String? { PQresultErrorField(result, code).map { String(cString: $0) } }
        guard let state = field(CInt(LK_DIAG_SQLSTATE)) else { return nil }
        return .refused(sqlState: state, constraint: field(CInt(LK_DIAG_CONSTRAINT_NAME)))
    }

    private func synced() {
        switch phase {
        case .preparing(let batch, let work):
            for (shape, name) in work.shapes.prefix(max(0, results.count - (work.dropsAll ? 1 : 0))) {
                prepared.didPrepare(shape, as: name)
            }
            results = []
            if let failure { return finish(batch, .refused(failure)) }
            guard let names = prepared.names(of: batch.queries) else { return broke() }
            send(batch, names)
        case .running(let batch):
            guard let failure else { return finish(batch, .done(results, warned: warned)) }
            if failure.isStalePlan {
                prepared.forget()
                // The whole batch was rolled back, so it may run again; a part of a transaction may not.
                if mayRunAgain, PQtransactionStatus(pg) == PQTRANS_IDLE {
                    mayRunAgain = false
                    return begin(batch)
                }
            }
            finish(batch, .refused(failure))
            // Another of the hosts is, or will be, the one that takes writes.
            if failure.sqlState == "25006", core.target?.hasSeveralHosts == true { close() }
        case .lookingUp, .connecting, .givenUp, .idle, .scripting, .closed: broke()
        }
    }

    private func finishScript(_ batch: Batch) {
        guard PQstatus(pg) == CONNECTION_OK, PQenterPipelineMode(pg) == 1 else { return broke() }
        finish(batch, failure.map { .refused($0) } ?? .done(results, warned: warned))
    }

    private func finish(_ batch: Batch, _ outcome: BatchOutcome) {
        phase = .idle
        results = []
        batch.completion(outcome)
        if isIdle { onEvent(self, .ready) }  // it may have been given its next batch, or closed
    }

    private func drainNotifications() {
        var any = false
        while case .some(let notification) = pg.flatMap({ PQnotifies($0) }) {
            PQfreemem(notification)
            any = true
        }
        if any { onEvent(self, .notified) }
    }

    /// The connection does not work: the end, or the next host where it never came to be used.
    private func broke() {
        if isSetUp { close() } else if case .closed = phase {} else { tryNext() }
    }

    /// Closes the socket; what was in flight is told that its outcome is unknown. A deadline ends here too: the server
    /// may still finish the statement, and nobody waits for it.
    func close() {
        let last = phase
        guard case .closed = last else {
            phase = .closed
            disconnect()
            core.forget(id)
            switch last {
            case .preparing(let batch, _), .running(let batch), .scripting(let batch): batch.completion(.broken)
            case .lookingUp, .connecting, .givenUp, .idle, .closed: break
            }
            return onEvent(self, .lost)
        }
    }

    func disconnect() {
        PQfinish(pg)
        pg = nil
        serverAnswer = nil
        prepared = PreparedStatements()
        watched = (-1, 0)
    }

    func watch(_ events: UInt32) {
        let socket = PQsocket(pg)
        guard socket >= 0 else { return }
        // While libpq connects (the next address of a name) another socket may bear the same number.
        if case .connecting = phase {} else if watched == (socket, events) { return }
        var event = epoll_event(events: events, data: epoll_data_t(u64: UInt64(id)))
        // The kernel forgets a closed socket by itself.
        if epoll_ctl(core.epoll, EPOLL_CTL_MOD, socket, &event) != 0 {
            epoll_ctl(core.epoll, EPOLL_CTL_ADD, socket, &event)
        }
        watched = (socket, events)
    }
}

extension PostgresError {
    /// A prepared statement's table has changed under it (0A000), or the server does not know it (26000).
    fileprivate var isStalePlan: Bool { sqlState == "0A000" || sqlState == "26000" }
}
