package import Postgres
import Synchronization

/// Which history this process goes by, and so which servers it uses (rule "refresh", *Lost history*). The tick settles it;
/// until it has, a server of another one is used by the tick alone. Where there are several hosts, an old primary that comes
/// back takes connections and writes, and would be found by chance.
package final class KnownHistory: Sendable {
    /// As a server answers `RevocationSQL.history`.
    struct Answer {
        let stored: HistoryIdentity?
        let present: HistoryIdentity
        let fence: Int64

        init(_ row: ResultSet.Row) throws(PostgresError) {
            stored = try row.decodeIfPresent("identity", as: String.self).map { HistoryIdentity($0) }
            present = HistoryIdentity(try row.decode("present_identity"))
            fence = try row.decode("fence")
        }
    }

    private let known = Mutex<(identity: HistoryIdentity, fence: Int64)?>(nil)

    package init() {}

    /// For requests: the server must be of this history, and say so itself. Before the first tick every one will do.
    package var gate: ServerGate {
        ServerGate(asking: RevocationSQL.history) { [self] row in
            known.withLock { known in
                guard let identity = known?.identity else { return true }
                guard let answer = try? row.map({ try Answer($0) }) else { return false }
                return answer.present == identity && answer.stored == identity
            }
        }
    }

    /// For the tick: whatever is not an old primary. It finds out what has become of the database.
    package var pulseGate: ServerGate {
        ServerGate(asking: RevocationSQL.history) { [self] row in
            guard let row else { return true }
            return (try? Answer(row)).map { !isStale($0) } ?? false
        }
    }

    /// Whether the server has been left behind by the history that is known: an earlier timeline of it, which its owner has
    /// not noticed (a restored one has another name than its head says), and a fence that was not raised since.
    func isStale(_ answer: Answer) -> Bool {
        known.withLock { known in
            guard let known else { return false }
            return answer.present.isEarlier(than: known.identity) && answer.stored == answer.present
                && answer.fence <= known.fence
        }
    }

    /// - Returns: whether it is another one than before.
    func settle(on answer: Answer) -> Bool {
        known.withLock { known in
            defer { known = (answer.present, answer.fence) }
            return known.map { $0.identity != answer.present } ?? true
        }
    }
}
