import Foundation

/// Where a cluster's data and its socket lie: absolute paths.
package struct ClusterLocation: Sendable, Equatable {
    /// The data directory. Its log (`….log`) and its lock (`….lock`) stand beside it.
    package var dataDirectory: String
    /// The folder of the socket, 0700 and the cluster's user's. It exists only while the server runs.
    package var socketDirectory: String

    package init(dataDirectory: String, socketDirectory: String) {
        self.dataDirectory = dataDirectory
        self.socketDirectory = socketDirectory
    }

    /// The server's standard output and standard error.
    package var log: String { "\(dataDirectory).log" }

    /// The folder that the cluster's user must own.
    var home: String { (dataDirectory as NSString).deletingLastPathComponent }

    /// A socket's path is at most 107 bytes (`sockaddr_un`), however deep the data lies: `/tmp/latchkey-` and 16 hex
    /// digits. Random, so that nobody can occupy the name before us; the guard checks that nobody did.
    static func randomSocketDirectory() -> String { "/tmp/latchkey-\(randomHex())" }

    static func randomHex() -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// False where the socket would not fit into `sockaddr_un`.
    var socketFits: Bool {
        socketDirectory.utf8.first == UInt8(ascii: "/") && "\(socketDirectory)/.s.PGSQL.5432".utf8.count <= 107
    }

    /// Throws `pathUnusable` for what the scripts and the server's own files cannot carry.
    func validate() throws(EmbeddedPostgresError) {
        for path in [dataDirectory, socketDirectory] {
            let printable = path.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
            guard path.utf8.first == UInt8(ascii: "/"), path.utf8.count > 1, printable else {
                throw .pathUnusable(path)
            }
        }
    }
}

extension EmbeddedPostgres {
    /// Where the cluster of an installation kept in `directory` should lie. Makes nothing; keep the answer.
    ///
    /// For root this is a random folder under `/var/lib/latchkey`, because the cluster's user cannot reach a home of
    /// mode 0700, and random, so that a deleted and remade `directory` never meets the cluster of the old one.
    package static func chooseLocation(for directory: String) throws(EmbeddedPostgresError) -> ClusterLocation {
        let root = try ClusterAccount.current().commandPrefix.isEmpty == false
        let here = FileManager.default.currentDirectoryPath
        let absolute = directory.utf8.first == UInt8(ascii: "/") ? directory : "\(here)/\(directory)"
        let home = root ? "/var/lib/latchkey/\(ClusterLocation.randomHex())" : (absolute as NSString).standardizingPath
        let location = ClusterLocation(
            dataDirectory: "\(home)/postgres", socketDirectory: ClusterLocation.randomSocketDirectory())
        try location.validate()
        return location
    }
}
