import Foundation
import Glibc

/// The system user a cluster belongs to: the caller, or `postgres` where the caller is root, whom PostgreSQL refuses.
struct ClusterAccount: Sendable {
    let userID: uid_t
    let groupID: gid_t
    let name: String
    /// What stands before a command to run it as this user: empty, or `setpriv` with its options.
    let commandPrefix: [String]

    static func current() throws(EmbeddedPostgresError) -> ClusterAccount {
        guard geteuid() == 0 else {
            guard let name = named({ getpwuid(geteuid()) })?.name else {
                throw .accountUnnamed(userID: geteuid())
            }
            return ClusterAccount(userID: geteuid(), groupID: getegid(), name: name, commandPrefix: [])
        }
        guard let postgres = named({ getpwnam("postgres") }) else { throw .accountMissing }
        let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        guard let folder = folders.first(where: { access("\($0)/setpriv", X_OK) == 0 }) else { throw .setprivMissing }
        return ClusterAccount(
            userID: postgres.userID, groupID: postgres.groupID, name: postgres.name,
            // Supplementary groups go too: `postgres` is in `ssl-cert` on Debian, and root's own must not leak.
            commandPrefix: [
                "\(folder)/setpriv", "--reuid=\(postgres.userID)", "--regid=\(postgres.groupID)", "--clear-groups",
                "--",
            ])
    }

    /// Makes the folder that holds the data directory, its log and its lock, where it is missing: 0700 and this user's.
    ///
    /// A folder that exists must already be this user's: root must not hand over what belongs to somebody else.
    func makeHome(_ path: String) throws(EmbeddedPostgresError) {
        do {
            let parent = (path as NSString).deletingLastPathComponent
            let missing = FileManager.default.fileExists(atPath: parent) == false
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            // Root's umask may be 077, and the cluster's user has to pass through.
            if missing, geteuid() == 0 { chmod(parent, 0o755) }
        } catch {
            throw .folderUnusable(path: path, reason: "a folder above it cannot be made")
        }
        let made = mkdir(path, 0o700) == 0
        guard made || errno == EEXIST else {
            throw .folderUnusable(path: path, reason: String(cString: strerror(errno)))
        }
        // By descriptor: between a look and a chown by name the folder could become a link to another one.
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (made ? O_NOFOLLOW : 0))
        guard folder >= 0 else { throw .folderUnusable(path: path, reason: String(cString: strerror(errno))) }
        defer { close(folder) }
        if made, geteuid() == 0, fchown(folder, userID, groupID) != 0 {
            throw .folderUnusable(path: path, reason: String(cString: strerror(errno)))
        }
        var status = stat()
        guard fstat(folder, &status) == 0, status.st_uid == userID else {
            throw .folderUnusable(path: path, reason: "it belongs to another user than \(name)")
        }
    }

    private struct Entry {
        let userID: uid_t
        let groupID: gid_t
        let name: String
    }

    /// `getpwnam` and its sister answer in static memory: one caller of this room at a time.
    private static let lookup = NSLock()

    private static func named(_ find: () -> UnsafeMutablePointer<passwd>?) -> Entry? {
        lookup.withLock {
            guard let entry = find()?.pointee, let name = entry.pw_name else { return nil }
            return Entry(userID: entry.pw_uid, groupID: entry.pw_gid, name: String(cString: name))
        }
    }
}
