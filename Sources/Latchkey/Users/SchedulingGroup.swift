import Foundation

/// The share of the processors that this process takes where Linux shares them out by session (`sched(7)`, "The autogroup
/// feature"): each session is a group, and a nice value holds within its group only.
///
/// Every backend of PostgreSQL is a session of its own. Beside a process whose hashing keeps all processors busy, the
/// kernel lets such a small group wait for 50 to 600 ms at times, and with it every refresh that is in its commit group.
package enum SchedulingGroup {
    package enum Outcome: Sendable, Equatable {
        /// The group has this nice value now, or had a higher one.
        case lowered(to: Int)
        /// The kernel does not group by session, or control groups come before it.
        case none
        /// The session is another's, a terminal's for instance: what else runs in it is not ours to slow down.
        case notOurs
    }

    private static let path = "/proc/self/autogroup"
    /// Enough for the database to be served at once; where nobody else wants a processor it costs nothing.
    private static let niceness = 5

    /// Lowers this process's group where the process leads its session, as every service does that a service manager
    /// started. Control groups with a weight of their own take its place.
    @discardableResult
    package static func lower() -> Outcome {
        guard let group = try? String(contentsOfFile: path, encoding: .utf8),
            let present = niceness(in: group)
        else { return .none }
        guard getsid(0) == getpid() else { return .notOurs }
        guard present < niceness else { return .lowered(to: present) }
        guard let file = fopen(path, "w") else { return .none }
        let isWritten = fputs("\(niceness)", file) >= 0
        return fclose(file) == 0 && isWritten ? .lowered(to: niceness) : .none
    }

    /// Of `/autogroup-25 nice 0`.
    static func niceness(in line: String) -> Int? {
        let words = line.split(whereSeparator: \.isWhitespace)
        guard words.count == 3, words[0].hasPrefix("/autogroup-"), words[1] == "nice" else { return nil }
        return Int(words[2])
    }
}
