/// What became of logins, refreshes and sessions on this node, counted once it is committed.
package struct SessionMetrics: Sendable {
    /// Each login, by what was answered.
    package let logIns = CounterFamily<LogInOutcome>()
    /// Each refresh that was decided, by the row of the rule.
    package let refreshes = CounterFamily<RefreshDecision>()
    package let opened = Counter()
    /// By this node, each session once.
    package let ended = CounterFamily<EndCause>()

    /// Counts how a login turned out, however it leaves `logIn`.
    func counted(_ logIn: () async throws -> Sessions.Tokens) async throws -> Sessions.Tokens {
        do {
            let tokens = try await logIn()
            logIns.add(.succeeded)
            return tokens
        } catch {
            // A guess that was looked at counts as one, though its caller has hung up since.
            let outcome = LogInOutcome(error)
            logIns.add(Task.isCancelled && outcome != .refused ? .abandoned : outcome)
            throw error
        }
    }
}

/// What a login came to.
package enum LogInOutcome: MetricLabel {
    case succeeded
    /// Unknown name, wrong password, disabled account: not told apart here either.
    case refused
    /// A guess limit was reached.
    case limited
    /// More hashing was asked for than this node does.
    case overloaded
    /// The caller hung up.
    case abandoned
    /// The request could not have succeeded for anyone.
    case malformed
    /// The database was away, or this node could not know.
    case unavailable

    init(_ error: any Error) {
        self =
            switch error {
            case Rejection.invalidCredentials: .refused
            case Rejection.overloaded: .overloaded
            case Rejection.unavailable: .unavailable
            case let rejection as Rejection: rejection.problem.status == 429 ? .limited : .malformed
            default: .unavailable
            }
    }

    package var label: String {
        switch self {
        case .succeeded: "succeeded"
        case .refused: "refused"
        case .limited: "limited"
        case .overloaded: "overloaded"
        case .abandoned: "abandoned"
        case .malformed: "malformed"
        case .unavailable: "unavailable"
        }
    }
}

extension RefreshDecision: MetricLabel {
    package var label: String {
        switch self {
        case .refuse: "refuse"
        case .advance: "advance"
        case .repeat: "repeat"
        case .recover: "recover"
        case .rollback: "rollback"
        case .void: "void"
        }
    }
}

extension EndCause: MetricLabel {
    package var label: String { rawValue }
}
