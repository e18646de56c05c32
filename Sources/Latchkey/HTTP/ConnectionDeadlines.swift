import NIOCore

/// What a connection waits for, since when, and whether it has waited too long. Pure: asked at every tick.
struct ConnectionDeadlines {
    enum Overdue: Equatable {
        /// The request that has begun is answered 408.
        case request
        case connection(Reason)
    }

    /// Why a connection is closed over its caller.
    enum Reason: String, CaseIterable, Sendable {
        case nothingCame = "nothing-came"
        case idle
        case answersNotTaken = "answers-not-taken"
        case answersAwaited = "answers-awaited"
        case lingering
        case drain
        /// As it came: no time of its own.
        case tooMany = "too-many"
    }

    private enum Phase {
        /// `begun`: a byte of the head has come.
        case head(since: NIODeadline, begun: Bool)
        case body(Transfer)
        case answers
        case idle(since: NIODeadline)
        /// Nothing more is read; answers are owed.
        case lastAnswers(since: NIODeadline)
        case lingering(since: NIODeadline)
    }

    /// Bytes that move in one direction. `moved` where they stood when it began.
    private struct Transfer {
        let since: NIODeadline
        var moved = 0

        func isTooSlow(_ limits: EdgeLimits, now: NIODeadline) -> Bool {
            let waited = now - since
            guard waited >= limits.pause else { return false }
            return Double(moved) < Double(waited.nanoseconds) / 1e9 * Double(limits.leastRate)
        }
    }

    private let limits: EdgeLimits
    private var phase: Phase
    private var draining: NIODeadline?
    private var written = 0
    /// Of `written`, what the kernel is known to have taken.
    private var taken = 0
    /// What the kernel does not take at once.
    private var backlog: Transfer?

    init(_ limits: EdgeLimits, now: NIODeadline) {
        self.limits = limits
        phase = .head(since: now, begun: false)
    }

    var isLingering: Bool {
        if case .lingering = phase { true } else { false }
    }

    var mayBeWriting: Bool { written > taken }

    /// Bytes of a head have come that has not ended. The first counts: a byte now and then buys no time.
    mutating func headBegan(now: NIODeadline) {
        switch phase {
        case .head(_, begun: true), .lastAnswers, .lingering: break
        // The time to the first byte counts too, or a silent connection would live twice as long.
        case .head(let since, begun: false): phase = .head(since: since, begun: true)
        case .idle, .answers, .body: phase = .head(since: now, begun: true)
        }
    }

    mutating func bodyBegan(now: NIODeadline) {
        phase = .body(Transfer(since: now))
    }

    mutating func bodyCame(_ count: Int) {
        guard case .body(var transfer) = phase else { return }
        transfer.moved += count
        phase = .body(transfer)
    }

    mutating func requestEnded(owed: Int, now: NIODeadline) {
        phase = owed > 0 ? .answers : .idle(since: now)
    }

    mutating func allAnswered(now: NIODeadline) {
        if case .answers = phase { phase = .idle(since: now) }
    }

    mutating func lastAnswersAwaited(now: NIODeadline) {
        if case .lastAnswers = phase { return }
        phase = .lastAnswers(since: now)
    }

    mutating func lingers(now: NIODeadline) {
        if !isLingering { phase = .lingering(since: now) }
    }

    mutating func drains(now: NIODeadline) {
        draining = draining ?? now
    }

    mutating func wrote(_ count: Int) {
        written += count
    }

    /// - Parameter waiting: bytes of answers that the kernel has not taken.
    mutating func overdue(now: NIODeadline, waiting: Int) -> Overdue? {
        if let draining, now - draining >= limits.drain { return .connection(.drain) }
        if isBacklogged(now: now, waiting: waiting) { return .connection(.answersNotTaken) }
        switch phase {
        case .head(let since, let begun):
            guard now - since >= limits.head else { return nil }
            return begun ? .request : .connection(.nothingCame)
        case .body(let transfer):
            return now - transfer.since >= limits.body || transfer.isTooSlow(limits, now: now) ? .request : nil
        case .answers: return nil
        case .idle(let since): return now - since >= limits.idle ? .connection(.idle) : nil
        case .lastAnswers(let since): return now - since >= limits.lastAnswers ? .connection(.answersAwaited) : nil
        case .lingering(let since): return now - since >= limits.linger ? .connection(.lingering) : nil
        }
    }

    private mutating func isBacklogged(now: NIODeadline, waiting: Int) -> Bool {
        let newlyTaken = written - waiting - taken
        taken = written - waiting
        guard waiting > 0 else {
            backlog = nil
            return false
        }
        guard var transfer = backlog else {
            backlog = Transfer(since: now)
            return false
        }
        transfer.moved += max(0, newlyTaken)
        backlog = transfer
        return transfer.isTooSlow(limits, now: now)
    }
}
