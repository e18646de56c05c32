import CLibpq
import Foundation
import Synchronization

/// The one thread that drives every connection to PostgreSQL: epoll over their sockets, an eventfd to wake it, deadlines
/// as its timers. Neither an event loop of the HTTP server nor a thread of the cooperative pool ever waits for libpq.
final class Reactor: Sendable {
    typealias Job = @Sendable (ReactorCore) -> Void

    private struct Inbox {
        var jobs: [Job] = []
        var isOpen = true
    }

    private let inbox = Mutex(Inbox())
    private let wake = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))

    init(_ configuration: DatabaseConfiguration) {
        let thread = Thread { [self] in ReactorCore(self, configuration, wake: wake).loop() }
        thread.name = "postgres"
        thread.start()
    }

    deinit {
        Foundation.close(wake)
    }

    /// False once the reactor is shut down: the job will never run.
    func post(_ job: @escaping Job) -> Bool {
        let (accepted, first) = inbox.withLock { inbox in
            guard inbox.isOpen else { return (false, false) }
            inbox.jobs.append(job)
            return (true, inbox.jobs.count == 1)
        }
        if first { eventfd_write(wake, 1) }
        return accepted
    }

    func shutDown() {
        _ = post { $0.stop() }
    }

    fileprivate func takeJobs() -> [Job] {
        var count: eventfd_t = 0
        eventfd_read(wake, &count)
        return inbox.withLock { inbox in
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
    }

    fileprivate func closeInbox() -> [Job] {
        inbox.withLock { inbox in
            inbox.isOpen = false
            defer { inbox.jobs = [] }
            return inbox.jobs
        }
    }
}

/// Nanoseconds of the monotonic clock, for deadlines within one process.
func monotonicNow() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// What lives on the reactor's thread: connections, the pool, the grouped lanes, the listeners.
final class ReactorCore {
    private let reactor: Reactor
    let configuration: DatabaseConfiguration
    private let wake: Int32
    private let epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
    private var connections: [Int: Connection] = [:]
    private var nextID = 1
    private var isStopped = false
    private var timers: [(due: Int64, fire: () -> Void)] = []

    private(set) lazy var pool = Pool(core: self)
    private(set) lazy var lanes = GroupedLane.allCases.map { _ in GroupLane(core: self) }
    private var listeners: [Listener] = []

    init(_ reactor: Reactor, _ configuration: DatabaseConfiguration, wake: Int32) {
        self.reactor = reactor
        self.configuration = configuration
        self.wake = wake
        var event = epoll_event(events: LK_EPOLLIN, data: epoll_data_t(u64: 0))
        epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event)
    }

    deinit {
        Foundation.close(epoll)
    }

    func loop() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while !isStopped {
            let count = epoll_wait(epoll, &events, CInt(events.count), timeout())
            for event in events.prefix(Int(max(0, count))) {
                connections[Int(event.data.u64)]?.ready()
            }
            for job in reactor.takeJobs() { job(self) }
            fireDue()
            for lane in lanes { lane.pump() }
        }
        // What was posted meanwhile still runs once, so that every waiter hears that the lanes are closed.
        for job in reactor.closeInbox() { job(self) }
    }

    private func timeout() -> CInt {
        var due = [pool.due] + lanes.map(\.due) + timers.map(\.due)
        due += connections.values.map(\.due)
        guard let next = due.compactMap({ $0 }).min() else { return -1 }
        return CInt(clamping: max(0, (next - monotonicNow() + 999_999) / 1_000_000))
    }

    private func fireDue() {
        let now = monotonicNow()
        for connection in connections.values {
            if let due = connection.due, due <= now { connection.close() }
        }
        pool.elapsed(now: now)
        let due = timers.filter { $0.due <= now }
        timers.removeAll { $0.due <= now }
        for timer in due { timer.fire() }
    }

    func after(_ nanoseconds: Int64, _ fire: @escaping () -> Void) {
        timers.append((monotonicNow() + nanoseconds, fire))
    }

    /// Opens a connection; `.ready` comes when its session is set up, `.lost` when it is gone.
    func open(_ onEvent: @escaping (Connection, Connection.Event) -> Void) -> Connection {
        let deadline = monotonicNow() + configuration.connectTimeout
        var isSetUp = false
        let connection = Connection(id: nextID, epoll: epoll, deadline: deadline) { [unowned self] connection, event in
            if event == .lost { connections[connection.id] = nil }
            if event == .ready, !isSetUp {
                isSetUp = true
                return connection.run(
                    Batch(queries: [sessionSetup], deadline: deadline) { [unowned connection] outcome in
                        // Without its settings nothing may run on it.
                        guard case .done = outcome else { return connection.close() }
                    })
            }
            onEvent(connection, event)
        }
        nextID += 1
        connections[connection.id] = connection
        connection.connect(to: configuration.connectionString)
        return connection
    }

    /// Every acknowledged write is durable whatever the server's default; a node that is frozen in the middle of a
    /// transaction does not hold its locks; a statement whose client has gone ends.
    private lazy var sessionSetup: Query = """
        SELECT set_config('synchronous_commit', 'on', false),
               set_config('idle_in_transaction_session_timeout', '2s', false),
               set_config('client_connection_check_interval', '1s', false),
               set_config('TimeZone', 'UTC', false),
               set_config('application_name', \(configuration.applicationName), false)
        """

    func listen(_ listener: Listener) {
        listeners.append(listener)
        listener.start(self)
    }

    func stop() {
        isStopped = true
        lanes.forEach { $0.shutDown() }
        pool.shutDown()
        for connection in connections.values { connection.close() }
        listeners.forEach { $0.finish() }
    }

    var isRunning: Bool { !isStopped }
    var connectionCount: Int { connections.count }
}
