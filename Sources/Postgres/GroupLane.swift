/// A grouped lane: what arrives while one group is in flight forms the next, sent in one pipeline with one sync. No
/// timer, no added wait when idle; one flush of the log for many. Its rules (protocol "commit groups"):
///
/// - a group is one transaction: nobody is answered before its sync;
/// - an error voids it whole and commits nothing: each member runs again alone, once;
/// - a broken connection or a warning leaves every member's outcome unknown.
///
/// Members must be statements that wait for no row lock. Lives on the reactor's thread.
final class GroupLane {
    struct Member {
        let query: Query
        let deadline: Int64
        let completion: @Sendable (Result<ResultSet, PostgresError>) -> Void
    }

    /// libpq begins to send when its buffer holds 8 KiB. A group below that leaves in one send together with its sync,
    /// so a node frozen at any instant never leaves half a transaction, with its locks, on the server.
    static let maximumBytes = 7_500

    private unowned let core: ReactorCore
    private var connection: Connection?
    private var isReady = false
    private var waiting: [Member] = []
    private var failures = 0
    private var openNotBefore: Int64 = 0
    private(set) var groups = GroupSizes()
    private(set) var retriedAlone: UInt64 = 0

    init(core: ReactorCore) {
        self.core = core
    }

    func add(_ member: Member) {
        guard core.isRunning else { return member.completion(.failure(.unavailable(.shutDown))) }
        guard waiting.count < core.configuration.maximumWaiting else {
            return member.completion(.failure(.unavailable(.tooManyWaiting)))
        }
        waiting.append(member)
    }

    var waitingCount: Int { waiting.count }
    var isInFlight: Bool { connection.map { isReady && !$0.isIdle } ?? false }

    /// When `pump` must be called next though nothing arrives.
    var due: Int64? {
        guard let first = waiting.first else { return nil }
        return connection == nil ? min(first.deadline, openNotBefore) : first.deadline
    }

    /// Called after every turn of the reactor: all that has arrived in it goes out together.
    func pump() {
        guard !waiting.isEmpty else { return }
        let now = monotonicNow()
        if connection == nil, now >= openNotBefore { open() }
        expire(now)
        guard let connection, isReady, connection.isIdle, !waiting.isEmpty else { return }
        var bytes = 0
        var group: [Member] = []
        for member in waiting {
            bytes += member.query.wireSize
            if bytes > Self.maximumBytes, !group.isEmpty { break }
            group.append(member)
        }
        waiting.removeFirst(group.count)
        let members = group
        groups.record(members.count)
        let deadline = members.map(\.deadline).min() ?? now
        connection.run(
            Batch(queries: members.map(\.query), deadline: deadline) { [unowned self] outcome in
                switch outcome {
                case .done(let results, warned: false) where results.count == members.count:
                    for (member, result) in zip(members, results) { member.completion(.success(result)) }
                case .done, .broken:
                    for member in members { member.completion(.failure(.unknownOutcome)) }
                case .refused:
                    retryAlone(members)
                }
            })
    }

    private func retryAlone(_ members: [Member]) {
        retriedAlone += UInt64(members.count)
        for member in members {
            core.pool.run(member.query, deadline: member.deadline, member.completion)
        }
    }

    private func expire(_ now: Int64) {
        guard let first = waiting.first, first.deadline <= now else { return }
        let late = waiting.filter { $0.deadline <= now }
        waiting.removeAll { $0.deadline <= now }
        for member in late { member.completion(.failure(.unavailable(.leaseTimedOut))) }
    }

    private func open() {
        connection = core.open { [unowned self] _, event in
            switch event {
            case .ready:
                isReady = true
                failures = 0
            case .lost:
                connection = nil
                if !isReady { cannotConnect() }
                isReady = false
            case .notified: break
            }
        }
    }

    /// Nobody who waits will fare better for now: they are told at once.
    private func cannotConnect() {
        failures += 1
        openNotBefore = monotonicNow() + min(1_000_000_000, 50_000_000 << Int64(min(failures - 1, 5)))
        fail(.cannotConnect)
    }

    private func fail(_ reason: PostgresError.Unavailability) {
        let members = waiting
        waiting = []
        for member in members { member.completion(.failure(.unavailable(reason))) }
    }

    func shutDown() {
        fail(.shutDown)
    }
}
