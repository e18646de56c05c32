/// Why a private cluster could not be made or started. Every description ends with what to do, and is safe to print.
package enum EmbeddedPostgresError: Error, Equatable, CustomStringConvertible {
    /// No folder with `initdb` and `postgres` was found; `version` is the one an existing cluster asks for.
    case programsMissing(version: String?)
    /// Started by root, which PostgreSQL refuses, on a machine without a `postgres` user.
    case accountMissing
    /// The effective user id has no name in the user database; `initdb` refuses to work for such a user.
    case accountUnnamed(userID: UInt32)
    /// Root needs `setpriv` to become the cluster's user.
    case setprivMissing
    /// A path is not absolute, or holds a control character (the postmaster's own lock file is line-based).
    case pathUnusable(String)
    /// The folder that holds the data directory cannot be made, or belongs to somebody else.
    case folderUnusable(path: String, reason: String)
    /// The data directory exists, holds files, and is no cluster.
    case notACluster(path: String)
    /// Another owner has a server running on this data directory.
    case alreadyRunning(dataDirectory: String)
    /// `initdb` failed.
    case notMade(log: String, lastLines: String)
    /// The server ended before it accepted connections, or took longer than allowed.
    case notStarted(log: String, lastLines: String)
    /// No socket folder could be had under `/tmp`, or the one in use was taken by somebody else.
    case socketFolderRefused(path: String)
    /// The operating system refused a pipe or a process.
    case systemCall(name: String, code: Int32)

    package var description: String {
        switch self {
        case .programsMissing(nil):
            "PostgreSQL is not installed: run `apt-get install postgresql`"
        case .programsMissing(let version?):
            """
            this data was made by PostgreSQL \(version), which is not installed: \
            run `apt-get install postgresql-\(version)`
            """
        case .accountMissing:
            """
            PostgreSQL refuses to run as root and there is no user `postgres` to run it as: \
            run `apt-get install postgresql`, or start this as another user
            """
        case .accountUnnamed(let userID):
            "user id \(userID) has no name in /etc/passwd, which PostgreSQL needs: add the user, or start as another"
        case .setprivMissing:
            "`setpriv` is needed to leave root's rights behind: run `apt-get install util-linux`"
        case .pathUnusable(let path):
            "the path \(String(reflecting: path)) must be absolute and free of control characters: choose another"
        case .folderUnusable(let path, let reason):
            "cannot keep a PostgreSQL cluster in \(path): \(reason)"
        case .notACluster(let path):
            "\(path) exists and is no PostgreSQL cluster: move it away, or choose another folder"
        case .alreadyRunning(let dataDirectory):
            "another PostgreSQL is running on \(dataDirectory): stop its owner first"
        case .notMade(let log, let lastLines):
            "the PostgreSQL cluster could not be made; see \(log)\(Self.quoted(lastLines))"
        case .notStarted(let log, let lastLines):
            "PostgreSQL did not start; see \(log)\(Self.quoted(lastLines))"
        case .socketFolderRefused(let path):
            "\(path) cannot be used as a socket folder: it is not ours alone, or /tmp is not writable"
        case .systemCall(let name, let code):
            "\(name) failed with error \(code): the machine may be out of processes or file descriptors"
        }
    }

    private static func quoted(_ lines: String) -> String {
        lines.isEmpty ? "" : ":\n\(lines)"
    }
}
