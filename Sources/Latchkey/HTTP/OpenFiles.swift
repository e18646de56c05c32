import Foundation

/// How many files, sockets among them, this process may have open.
package enum OpenFiles {
    /// What a node needs beside its callers' connections: database, logs, keys, a restart's overlap.
    private static let reserve = 256

    /// Raises the soft limit as far as the hard one lets it: 1,024 is what many shells and service managers start a
    /// process with, and the hard limit is far above it.
    ///
    /// - Returns: `connections`, or fewer where the limit does not hold so many and an eighth more.
    package static func makeRoom(for connections: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return connections }
        let wanted = rlim_t(connections + connections / 8 + reserve)
        if limit.rlim_cur < wanted {
            limit.rlim_cur = min(limit.rlim_max, wanted)
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        let room = Int(clamping: limit.rlim_cur) - reserve
        return min(connections, max(16, room / 9 * 8))
    }
}
