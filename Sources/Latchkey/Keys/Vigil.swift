/// Whether a process has watched the nodes' ticks for long enough to tell which of them are no more. Pure.
///
/// Behind an outage of the database the first node that ticks again finds all others silent for as long as that lasted:
/// who has only just begun to look knows nothing of them.
struct Vigil: Sendable {
    /// Seconds: longer than a node that lives takes to tick again once the database answers, and short enough that one which
    /// ended does not hold up a rotation.
    static let length: Int64 = 60
    /// Seconds between two looks beyond which what happened in between is not known.
    private static let longestBreak: Int64 = 10

    private var since: BootInstant?
    private var last: BootInstant?

    /// The database was asked at `instant`, and answered.
    mutating func look(at instant: BootInstant) {
        if !isUnbroken(at: instant) { since = instant }
        last = instant
    }

    /// Whose ticks count for one that asks at `instant`.
    func presence(at instant: BootInstant) -> NodePresence {
        guard isUnbroken(at: instant), let since, instant - since >= Self.length * 1_000_000_000 else { return .known }
        return .ticking
    }

    private func isUnbroken(at instant: BootInstant) -> Bool {
        last.map { instant - $0 <= Self.longestBreak * 1_000_000_000 } ?? false
    }
}

/// Which nodes count as being there.
package enum NodePresence: Sendable {
    /// Those that have ticked within the last minute.
    case ticking
    /// And those that have within the last day, for whoever cannot tell the silent ones from those that are no more.
    case known

    /// Since their last tick, in seconds.
    var silence: Int64 {
        switch self {
        case .ticking: Vigil.length
        case .known: 86_400
        }
    }
}
