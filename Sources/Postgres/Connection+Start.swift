import CLibpq

extension Connection {
    /// Looks for a server among the hosts of the target; `.ready` comes when one is found and the session is set up,
    /// `.lost` when there is none.
    func connect() {
        guard let target = core.target else { return giveUp() }
        let dial = Dial(
            target, preferred: core.preferredHost, deadline: monotonicNow() + core.configuration.connectTimeout)
        self.dial = dial
        tryNext()
    }

    /// The next address, or the next host; the end where there is none.
    func tryNext() {
        guard let step = dial?.next(now: monotonicNow()) else { return giveUp() }
        take(step)
    }

    private func take(_ step: Dial.Step) {
        disconnect()
        switch step {
        case .giveUp: giveUp()
        case .lookUp(let host, let until):
            phase = .lookingUp
            deadline = until
            core.resolve(host.host, for: id) { [weak self] addresses in
                guard let self, case .lookingUp = phase, dial?.current == host,
                    let step = dial?.found(addresses, now: monotonicNow())
                else { return }
                take(step)
            }
        case .connect(let host, let until):
            phase = .connecting
            deadline = until
            start(host)
        }
    }

    /// Told in the reactor's next turn: whoever opens this connection does not hold it yet.
    private func giveUp() {
        phase = .givenUp
        deadline = 0
    }

    private func start(_ host: ServerTarget.Host) {
        pg = Self.start([
            // Before the caller's own settings, which win, stand ours: a partition that swallows packets is noticed
            // within seconds instead of the kernel's two hours, by a connection that only listens too.
            ("keepalives_idle", "5"), ("keepalives_interval", "2"), ("keepalives_count", "2"),
            ("tcp_user_timeout", "5000"), ("dbname", core.configuration.connectionString),
            // libpq ignores what is empty.
            ("host", host.host), ("hostaddr", host.hostaddr), ("port", host.port),
            ("target_session_attrs", core.target?.sessionAttributes ?? ""),
        ])
        guard pg != nil, PQstatus(pg) != CONNECTION_BAD else { return tryNext() }
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

    func pollConnecting() {
        switch PQconnectPoll(pg) {
        case PGRES_POLLING_READING: watch(LK_EPOLLIN)
        case PGRES_POLLING_WRITING: watch(LK_EPOLLOUT)
        case PGRES_POLLING_OK:
            guard PQsetnonblocking(pg, 1) == 0, PQenterPipelineMode(pg) == 1 else { return tryNext() }
            watch(LK_EPOLLIN)
            phase = .idle
            setUp()
        default: tryNext()
        }
    }

    /// Without its settings nothing may run on it, nor where the gate does not admit the server.
    private func setUp() {
        let gate = core.configuration.gate
        run(
            Batch(queries: [core.sessionSetup] + (gate.map { [$0.question] } ?? []), deadline: deadline) {
                [unowned self] outcome in
                switch outcome {
                case .done(let results, _):
                    if let gate {
                        serverAnswer = results.last?.first
                        guard gate.admits(serverAnswer) else { return tryNext() }
                    }
                    finishSetUp()
                case .refused(let error) where gate?.admits(nil) == true && error.isOfUnmadeDatabase: setUpUnasked()
                case .refused, .broken: tryNext()
                }
            })
    }

    private func setUpUnasked() {
        run(
            Batch(queries: [core.sessionSetup], deadline: deadline) { [unowned self] outcome in
                guard case .done = outcome else { return tryNext() }
                finishSetUp()
            })
    }

    private func finishSetUp() {
        isSetUp = true
        host = dial?.current
        core.preferredHost = host
        dial = nil
    }

    /// Begins to connect. `dbname` is a connection string; settings before it are its defaults, those after it win.
    static func start(_ settings: [(keyword: String, value: String)]) -> OpaquePointer? {
        let keywords = settings.map { Array($0.keyword.utf8CString) }
        let values = settings.map { Array($0.value.utf8CString) }
        return withPointers(keywords) { keywords in
            withPointers(values) { values in PQconnectStartParams(keywords, values, 1) }
        }
    }

    /// The strings as C wants them: an array of pointers that ends in NULL.
    private static func withPointers<R>(_ strings: [[CChar]], _ body: ([UnsafePointer<CChar>?]) -> R) -> R {
        func next(_ rest: ArraySlice<[CChar]>, _ pointers: [UnsafePointer<CChar>?]) -> R {
            guard let first = rest.first else { return body(pointers + [nil]) }
            return first.withUnsafeBufferPointer { next(rest.dropFirst(), pointers + [$0.baseAddress]) }
        }
        return next(strings[...], [])
    }
}
