import Foundation

/// How many files, sockets among them, this process may have open.
package enum OpenFiles {
    /// What a node needs beside its callers' and its database's connections: the management port's, logs, keys, and those
    /// that come while the last ones are being refused. Where files run out all the same, the port pauses for a second each
    /// time before it accepts again.
    static let reserve = 384

    /// Raises the soft limit as far as the hard one lets it: 1,024 is what many shells and service managers start a
    /// process with, and the hard limit is far above it.
    ///
    /// - Returns: `connections`, or fewer where the limit does not hold so many and an eighth more.
    /// - Parameter others: files that are open beside them: the database's connections.
    package static func makeRoom(for connections: Int, beside others: Int = 0) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return connections }
        let wanted = rlim_t(connections + connections / 8 + reserve + others)
        if limit.rlim_cur < wanted {
            limit.rlim_cur = min(limit.rlim_max, wanted)
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return held(by: Int(clamping: limit.rlim_cur), of: connections, beside: others)
    }

    /// How many connections, and an eighth more, so many files hold beside the reserve; 16 at least.
    static func held(by files: Int, of connections: Int, beside others: Int) -> Int {
        min(connections, max(16, (files - reserve - others) / 9 * 8))
    }
}
