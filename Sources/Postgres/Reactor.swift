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

    init(_ configuration: DatabaseConfiguration, lookUp: @escaping Resolver.LookUp) {
        let thread = Thread { [self] in ReactorCore(self, configuration, wake: wake, lookUp: lookUp).loop() }
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
    let reactor: Reactor
    let configuration: DatabaseConfiguration
    /// nil where the connection string leads nowhere.
    let target: ServerTarget?
    /// Where the last connection was made.
    var preferredHost: ServerTarget.Host?
    private let wake: Int32
    let epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
    let resolver: Resolver
    private var connections: [Int: Connection] = [:]
    private var nextID = 1
    private var isStopped = false
    private var timers: [(due: Int64, fire: () -> Void)] = []
    /// When a server last said anything.
    private var lastHeard: Int64 = 0

    private(set) lazy var pool = Pool(core: self)
    private(set) lazy var lanes = GroupedLane.allCases.map { _ in GroupLane(core: self) }
    private var listeners: [Listener] = []

    init(
        _ reactor: Reactor, _ configuration: DatabaseConfiguration, wake: Int32, lookUp: @escaping Resolver.LookUp
    ) {
        self.reactor = reactor
        self.configuration = configuration
        target = ServerTarget(configuration.connectionString)
        resolver = Resolver(lookUp)
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
            let count = Int(max(0, epoll_wait(epoll, &events, CInt(events.count), timeout())))
            let now = monotonicNow()
            for index in 0..<count {
                guard let connection = connections[Int(events[index].data.u64)] else { continue }
                lastHeard = now
                connection.ready()
            }
            for job in reactor.takeJobs() { job(self) }
            fireDue()
            for lane in lanes { lane.pump() }
        }
        // What was posted meanwhile still runs once, so that every waiter hears that the lanes are closed.
        for job in reactor.closeInbox() { job(self) }
    }

    private func timeout() -> CInt {
        var next = pool.due ?? .max
        for lane in lanes { next = min(next, lane.due ?? .max) }
        for timer in timers { next = min(next, timer.due) }
        for connection in connections.values { next = min(next, connection.due ?? .max) }
        guard next < .max else { return -1 }
        return CInt(clamping: max(0, (next - monotonicNow() + 999_999) / 1_000_000))
    }

    private func fireDue() {
        let now = monotonicNow()
        for connection in connections.values {
            if let due = connection.due, due <= now { connection.expire() }
        }
        pool.elapsed(now: now)
        guard timers.contains(where: { $0.due <= now }) else { return }
        let due = timers.filter { $0.due <= now }
        timers.removeAll { $0.due <= now }
        for timer in due { timer.fire() }
    }

    /// A statement was not answered in time. Where nothing at all was heard meanwhile, the server or the way to it has
    /// gone without a word: each idle connection would cost the request that takes it its whole deadline.
    func suspectSilence() {
        guard monotonicNow() - lastHeard > 1_000_000_000 else { return }
        for connection in connections.values where connection.isIdle { connection.close() }
    }

    /// The next attempt begins with the host behind this one.
    func preferAnother(than host: ServerTarget.Host?) {
        guard let hosts = target?.hosts, hosts.count > 1, let index = hosts.firstIndex(where: { $0 == host }) else {
            return
        }
        preferredHost = hosts[(index + 1) % hosts.count]
    }

    func recheck() {
        guard let gate = configuration.gate else { return }
        for connection in connections.values where connection.isSetUp && !gate.admits(connection.serverAnswer) {
            connection.close()
        }
    }

    /// Fires once, at that instant.
    func at(_ due: Int64, _ fire: @escaping () -> Void) {
        timers.append((due, fire))
    }

    /// Opens a connection; `.ready` comes when its session is set up, `.lost` when it is gone.
    func open(_ onEvent: @escaping (Connection, Connection.Event) -> Void) -> Connection {
        let connection = Connection(id: nextID, core: self, onEvent: onEvent)
        nextID += 1
        connections[connection.id] = connection
        connection.connect()
        return connection
    }

    /// The connection is closed.
    func forget(_ id: Int) {
        connections[id] = nil
        resolver.forget(id)
    }

    func resolve(_ name: String, for connection: Int, _ found: @escaping ([String]) -> Void) {
        resolver.resolve(name, for: connection, reactor: reactor, found)
    }

    /// A caller waits no longer.
    func withdraw(_ caller: ObjectIdentifier) {
        for lane in lanes { lane.withdraw(caller) }
        pool.withdraw(caller)
    }

    /// Every acknowledged write is durable whatever the server's default; a node that is frozen in the middle of a
    /// transaction does not hold its locks; a statement whose client has gone ends.
    private(set) lazy var sessionSetup: Query = """
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
