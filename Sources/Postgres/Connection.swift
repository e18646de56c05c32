import CLibpq

/// Several statements sent at once with one sync: one implicit transaction, or a part of an explicit one.
struct Batch {
    var queries: [Query]
    /// Text of a migration, sent by the simple protocol, which alone takes several statements in one text.
    var script: String?
    var deadline: Int64
    /// Called once, on the reactor's thread.
    var completion: (BatchOutcome) -> Void
}

enum BatchOutcome: Sendable {
    /// `warned`: the server warned meanwhile; a commit among them may not have reached its standby.
    case done([ResultSet], warned: Bool)
    /// Nothing since the last commit stands.
    case refused(PostgresError)
    /// The connection broke, or the deadline passed, with statements in flight.
    case broken
}

/// One libpq connection, driven without blocking, always in pipeline mode. Lives on the reactor's thread alone.
///
/// Statements are prepared in a round trip of their own, so that what locks rows leaves in one send: a node frozen
/// after half of a transaction would hold its locks for ever.
final class Connection {
    enum Event { case ready, lost, notified }

    /// What the server prepares: the same text with other types of binds is another statement.
    private struct Shape: Hashable {
        let sql: String
        let types: [Oid]

        init(_ query: Query) {
            sql = query.sql
            types = query.binds.map { Oid($0.type) }
        }
    }

    private enum Phase {
        case connecting
        case idle
        case preparing(Batch, [Shape], started: Int)
        case running(Batch)
        case scripting(Batch)
        case closed
    }

    let id: Int
    private let epoll: Int32
    private var pg: OpaquePointer?
    private var phase = Phase.connecting
    private var deadline: Int64
    private var prepared: [Shape: String] = [:]
    private var statements = 0
    private var results: [ResultSet] = []
    private var failure: PostgresError?
    private var warned = false
    private var watched: (socket: Int32, events: UInt32) = (-1, 0)
    private let onEvent: (Connection, Event) -> Void

    init(id: Int, epoll: Int32, deadline: Int64, onEvent: @escaping (Connection, Event) -> Void) {
        self.id = id
        self.epoll = epoll
        self.deadline = deadline
        self.onEvent = onEvent
    }

    deinit {
        PQfinish(pg)
    }

    var isIdle: Bool { if case .idle = phase { true } else { false } }

    /// Idle, and not in a transaction that its owner forgot.
    var isClean: Bool { isIdle && PQtransactionStatus(pg) == PQTRANS_IDLE }

    /// When something must have happened, in nanoseconds of the monotonic clock; nil where nothing is awaited.
    var due: Int64? {
        switch phase {
        case .idle, .closed: nil
        default: deadline
        }
    }

    func connect(to conninfo: String) {
        pg = Self.start(conninfo)
        guard pg != nil, PQstatus(pg) != CONNECTION_BAD else {
            // Told in the reactor's next turn: whoever opens this connection does not hold it yet.
            deadline = 0
            return
        }
        PQsetNoticeReceiver(
            pg,
            { context, result in
                guard let context, let result, let severity = PQresultErrorField(result, CInt(LK_DIAG_SEVERITY))
                else { return }
                if severity[0] == 0x57 /* W of WARNING */ {
                    Unmanaged<Connection>.fromOpaque(context).takeUnretainedValue().warned = true
                }
            }, Unmanaged.passUnretained(self).toOpaque())
        watch(LK_EPOLLOUT)
    }

    /// The connection must be idle.
    func run(_ batch: Batch) {
        deadline = batch.deadline
        results = []
        failure = nil
        warned = false
        if let script = batch.script {
            phase = .scripting(batch)
            guard PQexitPipelineMode(pg) == 1, PQsendQuery(pg, script) == 1 else { return close() }
            return flush()
        }
        var shapes: [Shape] = []
        for shape in batch.queries.map(Shape.init) where prepared[shape] == nil && !shapes.contains(shape) {
            shapes.append(shape)
        }
        if shapes.isEmpty { return send(batch) }
        phase = .preparing(batch, shapes, started: statements)
        for shape in shapes {
            statements += 1
            let count = CInt(shape.types.count)
            guard PQsendPrepare(pg, "s\(statements)", shape.sql, count, shape.types) == 1 else { return close() }
        }
        guard PQpipelineSync(pg) == 1 else { return close() }
        flush()
    }

    private func send(_ batch: Batch) {
        phase = .running(batch)
        for query in batch.queries {
            guard let name = prepared[Shape(query)], send(query, named: name) else { return close() }
        }
        guard PQpipelineSync(pg) == 1 else { return close() }
        flush()
    }

    private func send(_ query: Query, named name: String) -> Bool {
        var buffer: [UInt8] = []
        var offsets: [Int?] = []
        var lengths: [CInt] = []
        for bind in query.binds {
            offsets.append(bind.bytes == nil ? nil : buffer.count)
            lengths.append(CInt(bind.bytes?.count ?? 0))
            buffer += bind.bytes ?? []
        }
        buffer.append(0)  // an empty value still needs an address
        let formats = [CInt](repeating: 1, count: lengths.count)
        return buffer.withUnsafeBytes { bytes in
            let base = bytes.bindMemory(to: CChar.self).baseAddress
            let values = offsets.map { offset in offset.flatMap { base?.advanced(by: $0) } }
            return PQsendQueryPrepared(pg, name, CInt(values.count), values, lengths, formats, 1) == 1
        }
    }

    /// epoll says that the socket is ready.
    func ready() {
        switch phase {
        case .closed: break
        case .connecting: pollConnecting()
        case .idle, .preparing, .running, .scripting:
            guard PQconsumeInput(pg) == 1 else { return close() }
            receive()
            drainNotifications()
            if case .closed = phase { return }
            flush()
        }
    }

    private func pollConnecting() {
        switch PQconnectPoll(pg) {
        case PGRES_POLLING_READING: watch(LK_EPOLLIN)
        case PGRES_POLLING_WRITING: watch(LK_EPOLLOUT)
        case PGRES_POLLING_OK:
            guard PQsetnonblocking(pg, 1) == 0, PQenterPipelineMode(pg) == 1 else { return close() }
            watch(LK_EPOLLIN)
            phase = .idle
            onEvent(self, .ready)
        default: close()
        }
    }

    private func flush() {
        switch PQflush(pg) {
        case 0: watch(LK_EPOLLIN)
        case 1: watch(LK_EPOLLIN | LK_EPOLLOUT)  // read and write by turns, or both sides wait on full buffers
        default: close()
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
                guard let refusal else { return close() }
                if failure == nil { failure = refusal }
            case PGRES_PIPELINE_ABORTED:
                PQclear(result)
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                PQclear(result)
                return close()  // nobody feeds it; PQgetResult would say so for ever
            default:
                results.append(ResultSet(result))
            }
        }
        if PQstatus(pg) == CONNECTION_BAD { close() }
    }

    private func refusal(_ result: OpaquePointer) -> PostgresError? {
        func field(_ code: CInt) -> String? { PQresultErrorField(result, code).map { String(cString: $0) } }
        guard let state = field(CInt(LK_DIAG_SQLSTATE)) else { return nil }
        return .refused(sqlState: state, constraint: field(CInt(LK_DIAG_CONSTRAINT_NAME)))
    }

    private func synced() {
        switch phase {
        case .preparing(let batch, let shapes, let started):
            for (offset, shape) in shapes.prefix(results.count).enumerated() {
                prepared[shape] = "s\(started + offset + 1)"
            }
            results = []
            if let failure { finish(batch, .refused(failure)) } else { send(batch) }
        case .running(let batch):
            if let failure {
                // A changed table or a lost statement (0A000, 26000): prepare afresh the next time.
                if ["0A000", "26000"].contains(failure.sqlState) { prepared = [:] }
                finish(batch, .refused(failure))
            } else {
                finish(batch, .done(results, warned: warned))
            }
        case .connecting, .idle, .scripting, .closed: close()
        }
    }

    private func finishScript(_ batch: Batch) {
        guard PQstatus(pg) == CONNECTION_OK, PQenterPipelineMode(pg) == 1 else { return close() }
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

    /// Closes the socket; what was in flight is told that its outcome is unknown. A deadline ends here too: the server
    /// may still finish the statement, and nobody waits for it.
    func close() {
        let last = phase
        guard case .closed = last else {
            phase = .closed
            PQfinish(pg)
            pg = nil
            switch last {
            case .preparing(let batch, _, _), .running(let batch), .scripting(let batch): batch.completion(.broken)
            case .connecting, .idle, .closed: break
            }
            return onEvent(self, .lost)
        }
    }

    private func watch(_ events: UInt32) {
        let socket = PQsocket(pg)
        guard socket >= 0 else { return }
        // While libpq connects (the next of several hosts or addresses) another socket may bear the same number.
        if case .connecting = phase {} else if watched == (socket, events) { return }
        var event = epoll_event(events: events, data: epoll_data_t(u64: UInt64(id)))
        // The kernel forgets a closed socket by itself.
        if epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) != 0 {
            epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event)
        }
        watched = (socket, events)
    }
}
