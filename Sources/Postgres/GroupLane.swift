/// A grouped lane: what arrives while one group is in flight forms the next, sent in one pipeline with one sync. No
/// timer, no added wait when idle; one flush of the log for many. Its rules (protocol "commit groups"):
///
/// - a group is one transaction: nobody is answered before its sync;
/// - an error voids it whole and commits nothing: each member runs again alone, once;
/// - a broken connection or a warning leaves every member's outcome unknown.
///
/// Members must be statements that wait for no row lock. Lives on the reactor's thread.
final class GroupLane {
    private struct Member {
        let query: Query
        let deadline: Int64
        let reply: Reply<ResultSet>
    }

    /// libpq begins to send when its buffer holds 8 KiB. A group below that leaves in one send together with its sync,
    /// so a node frozen at any instant never leaves half a transaction, with its locks, on the server.
    static let maximumBytes = 7_500

    private unowned let core: ReactorCore
    private var connection: Connection?
    private var isReady = false
    private var waiting: [Member] = []
    /// No member's deadline is earlier; it may be that of one who has left.
    private var earliest = Int64.max
    /// The group in flight, and the earliest of its deadlines that has not come. Whose has is told by himself: one caller's
    /// last milliseconds must not end the group of all others.
    private var flying: [Member] = []
    private var earliestFlying = Int64.max
    private var backoff = Backoff()
    private(set) var groups = GroupSizes()
    private(set) var retriedAlone: UInt64 = 0

    init(core: ReactorCore) {
        self.core = core
    }

    func add(_ query: Query, deadline: Int64, _ reply: Reply<ResultSet>) {
        guard core.isRunning else { return reply.answer(.failure(.unavailable(.shutDown))) }
        guard waiting.count < core.configuration.maximumWaiting else {
            return reply.answer(.failure(.unavailable(.tooManyWaiting)))
        }
        reply.stage = .waiting
        waiting.append(Member(query: query, deadline: deadline, reply: reply))
        earliest = min(earliest, deadline)
    }

    /// The caller waits no longer.
    func withdraw(_ caller: ObjectIdentifier) {
        waiting.removeAll { ObjectIdentifier($0.reply) == caller }
    }

    var waitingCount: Int { waiting.count }
    var isInFlight: Bool { connection.map { isReady && !$0.isIdle } ?? false }

    /// When `pump` must be called next though nothing arrives.
    var due: Int64? {
        guard !waiting.isEmpty else { return earliestFlying == .max ? nil : earliestFlying }
        return min(earliestFlying, connection == nil ? min(earliest, backoff.notBefore) : earliest)
    }

    /// Called after every turn of the reactor: all that has arrived in it goes out together.
    func pump() {
        guard !waiting.isEmpty || earliestFlying != .max else { return }
        let now = monotonicNow()
        expireFlying(now)
        guard !waiting.isEmpty else { return }
        if connection == nil, now >= backoff.notBefore { open() }
        expire(now)
        guard let connection, isReady, connection.isIdle, !waiting.isEmpty else { return }
        let (members, queries, deadline) = takeGroup()
        groups.record(members.count)
        flying = members
        earliestFlying = members.lazy.map(\.deadline).min() ?? .max
        connection.run(
            Batch(queries: queries, deadline: deadline) { [unowned self] outcome in
                flying = []
                earliestFlying = .max
                switch outcome {
                case .done(let results, warned: false) where results.count == members.count:
                    for (member, result) in zip(members, results) { member.reply.answer(.success(result)) }
                case .done, .broken:
                    for member in members { member.reply.answer(.failure(.unknownOutcome)) }
                case .refused:
                    retriedAlone += UInt64(members.count)
                    for member in members where member.reply.stage == .inFlight {
                        core.pool.run(member.query, deadline: member.deadline, member.reply)
                    }
                }
            })
    }

    private func expireFlying(_ now: Int64) {
        guard earliestFlying <= now else { return }
        for member in flying where member.deadline <= now { member.reply.answer(.failure(.unknownOutcome)) }
        earliestFlying = flying.lazy.map(\.deadline).filter { $0 > now }.min() ?? .max
    }

    /// As many of those who wait as leave in one send, and the latest of their deadlines: the connection's.
    private func takeGroup() -> (members: [Member], queries: [Query], deadline: Int64) {
        var (bytes, count, deadline) = (0, 0, Int64.min)
        var queries: [Query] = []
        for member in waiting {
            bytes += member.query.wireSize
            if bytes > Self.maximumBytes, count > 0 { break }
            count += 1
            deadline = max(deadline, member.deadline)
            member.reply.stage = .inFlight
            queries.append(member.query)
        }
        if count == waiting.count {
            defer { waiting = [] }
            return (waiting, queries, deadline)
        }
        defer { waiting.removeFirst(count) }
        return (Array(waiting.prefix(count)), queries, deadline)
    }

    private func expire(_ now: Int64) {
        guard earliest <= now else { return }
        let late = waiting.filter { $0.deadline <= now }
        waiting.removeAll { $0.deadline <= now }
        earliest = waiting.map(\.deadline).min() ?? .max
        for member in late { member.reply.answer(.failure(.unavailable(.leaseTimedOut))) }
    }

    private func open() {
        connection = core.open { [unowned self] _, event in
            switch event {
            case .ready:
                isReady = true
                backoff.succeeded()
            case .lost:
                connection = nil
                if !isReady {
                    // Nobody who waits will fare better for now: they are told at once.
                    backoff.failed(now: monotonicNow(), chance: .random(in: .min ... .max))
                    fail(.cannotConnect)
                }
                isReady = false
            case .notified: break
            }
        }
    }

    private func fail(_ reason: PostgresError.Unavailability) {
        let members = waiting
        waiting = []
        for member in members { member.reply.answer(.failure(.unavailable(reason))) }
    }

    func shutDown() {
        fail(.shutDown)
    }
}
