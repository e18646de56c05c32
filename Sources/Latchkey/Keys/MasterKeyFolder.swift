import CDispatch
import Foundation
import JOSE
import LibCrypto

/// The folder of the master keys: `master-key-<version>`, 32 random bytes as one line of base64url, mode 0600.
package struct MasterKeyFolder: Sendable {
    package let path: String

    package init(_ path: String) {
        self.path = path
    }

    package func file(_ version: Int16) -> String { "\(path)/master-key-\(version)" }

    /// The versions that stand there, ascending.
    package func versions() throws(MasterKeyFolderError) -> [Int16] {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: path) } catch { throw .noFolder(path) }
        return names.compactMap { name in
            guard name.hasPrefix("master-key-"), let version = Int16(name.dropFirst(11)), version > 0,
                name == "master-key-\(version)"
            else { return nil }
            return version
        }.sorted()
    }

    /// Reads every master key. Refuses the folder as a whole where one file is not what it should be: a node that holds
    /// fewer keys than it seems to would refuse tokens at random.
    package func load() throws -> MasterKeys {
        var folder = stat()
        // Who may rename files in it decides which key is which version. In a sticky one only their owner may.
        if stat(path, &folder) == 0, folder.st_mode & 0o022 != 0, folder.st_mode & 0o1000 == 0 {
            throw MasterKeyFolderError.folderTooOpen(path)
        }
        var keys: [Int16: SecretBytes] = [:]
        for version in try versions() { keys[version] = try read(version) }
        guard !keys.isEmpty else { throw MasterKeyFolderError.empty(path) }
        return try MasterKeys(keys)
    }

    /// What changes when a file comes, goes, is written to, or changes hands or mode: its inode and its change time.
    struct Look: Sendable, Equatable {
        private let files: [Int16: [Int64]]

        var versions: [Int16] { files.keys.sorted() }

        fileprivate init(_ files: [Int16: [Int64]]) {
            self.files = files
        }
    }

    /// A look at the folder without reading a key: cheap enough for every second.
    func look() throws(MasterKeyFolderError) -> Look {
        var files: [Int16: [Int64]] = [:]
        for version in try versions() {
            var status = stat()
            guard lstat(file(version), &status) == 0 else { continue }
            files[version] = [Int64(status.st_ino), Int64(status.st_ctim.tv_sec), Int64(status.st_ctim.tv_nsec)]
        }
        return Look(files)
    }

    /// Makes the first key where there is none.
    /// - Returns: the version made, nil where one stood already.
    package func initialise() throws -> Int16? {
        makeFolder()
        guard try versions().isEmpty else { return nil }
        do { try write(SecureRandom.bytes(MasterKeys.length), version: 1) } catch .exists { return nil }
        return 1
    }

    /// The folder itself, where there is none.
    package func makeFolder() {
        try? FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    func read(_ version: Int16) throws(MasterKeyFolderError) -> SecretBytes {
        let file = file(version)
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw .unreadable(file) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(file) }
        guard status.st_mode & 0o077 == 0 || Self.isCredential(status) else { throw .tooOpen(file) }
        guard status.st_uid == geteuid() || status.st_uid == 0 else { throw .foreignOwner(file) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = Foundation.read(descriptor, &bytes, bytes.count)
        guard count > 0 else { throw .damaged(file) }
        let line = bytes.prefix(count).prefix { $0 != UInt8(ascii: "\n") }
        guard let key = Base64URL.decode(line), key.count == MasterKeys.length else { throw .damaged(file) }
        return SecretBytes(key)
    }

    /// systemd hands a credential over as root's file of mode 0400 with an ACL for the service's user; `stat` then shows
    /// the ACL's mask as the bits of the group, 0440. Nothing but root's own group could read more by it.
    private static func isCredential(_ status: stat) -> Bool {
        status.st_mode & 0o7777 == 0o440 && status.st_uid == 0 && status.st_gid == 0
    }

    /// Whole or not at all: written beside its place, synced, then linked there, which fails where a file stands already.
    func write(_ key: [UInt8], version: Int16) throws(MasterKeyFolderError) {
        let file = file(version)
        // A random name: in a container every process is number 1, and what a crash left would be in the way for ever.
        let temporary = "\(path)/.master-key-\(version).\(Base64URL.encode(SecureRandom.bytes(9)))"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unwritable(file) }
        defer {
            close(descriptor)
            unlink(temporary)
        }
        let line = Array((Base64URL.encode(key) + "\n").utf8)
        guard Foundation.write(descriptor, line, line.count) == line.count, fsync(descriptor) == 0 else {
            throw .unwritable(file)
        }
        guard link(temporary, file) == 0 else { throw errno == EEXIST ? .exists(file) : .unwritable(file) }
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }
}

/// Each says what to do next.
package enum MasterKeyFolderError: Error, Sendable, Equatable, CustomStringConvertible {
    case noFolder(String)
    case empty(String)
    case unreadable(String)
    case unwritable(String)
    case exists(String)
    case tooOpen(String)
    case folderTooOpen(String)
    case foreignOwner(String)
    case damaged(String)
    case descriptor(Int32, String)

    package var description: String {
        switch self {
        case .noFolder(let path): "there is no folder \(path): make one with `latchkey master-key init`"
        case .empty(let path):
            "no master key stands in \(path): make one with `latchkey master-key init`, or restore yours"
        case .unreadable(let file): "\(file) cannot be read as a regular file: let the service's user read it"
        case .unwritable(let file): "\(file) cannot be written: let this user write its folder"
        case .exists(let file): "\(file) stands there already; nothing was changed"
        case .tooOpen(let file): "others may read \(file): chmod 600 it, and if they could have, replace it"
        case .folderTooOpen(let path): "others may rename files in \(path): chmod go-w it, and look what stands there"
        case .foreignOwner(let file): "\(file) belongs to another user: chown it to the service's user"
        case .damaged(let file): "\(file) is not a master key (32 bytes in base64url): restore it from your backup"
        case .descriptor(let number, let problem):
            "LATCHKEY_MASTER_KEY_FD is \(number): \(problem); hand over lines of a version, a space and 32 bytes in "
                + "base64url"
        }
    }
}
