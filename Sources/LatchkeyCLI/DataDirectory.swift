import EmbeddedPostgres
import Foundation
import JOSE
import LibCrypto

/// The DIR of `latchkey dev`: `keys/` (the master keys), `dev.json` (issuer, socket, cluster, pid), `admin-password`, and
/// the cluster itself, or, where started as root, the path of it.
struct DataDirectory {
    static let database = "latchkey"

    let path: String

    init(_ path: String) {
        self.path = URL(fileURLWithPath: path).standardizedFileURL.path
    }

    var keys: String { "\(path)/keys" }
    var passwordFile: String { "\(path)/admin-password" }
    private var stateFile: String { "\(path)/dev.json" }
    private var lockFile: String { "\(path)/lock" }

    var exists: Bool { FileManager.default.fileExists(atPath: stateFile) }

    /// What the running `latchkey dev` has written down.
    struct State {
        var issuer: String
        var cluster: ClusterLocation
        var connectionString: String
        var pid: Int32
    }

    func state() throws -> State {
        guard let data = FileManager.default.contents(atPath: stateFile),
            let object = (try? JSONValue.parse([UInt8](data)))?.object,
            let issuer = object["issuer"]?.string, let socket = object["socket"]?.string,
            let cluster = object["cluster"]?.string, let url = object["database"]?.string, let pid = object["pid"]?.int
        else { throw Failure("\(path) is no installation of `latchkey dev`: name another with --data, or make one") }
        return State(
            issuer: issuer, cluster: ClusterLocation(dataDirectory: cluster, socketDirectory: socket),
            connectionString: url, pid: Int32(truncatingIfNeeded: pid))
    }

    func write(_ state: State) throws {
        let object: JSONValue = [
            "issuer": .string(state.issuer), "socket": .string(state.cluster.socketDirectory),
            "cluster": .string(state.cluster.dataDirectory), "database": .string(state.connectionString),
            "pid": .integer(Int64(state.pid)),
        ]
        try write(object.encoded() + [0x0A], to: stateFile)
    }

    func make() throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    /// Held for as long as the process lives: one `latchkey dev` on one DIR.
    func lock() throws -> FileHandle {
        let descriptor = open(lockFile, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure("\(lockFile) cannot be made: is \(path) writable?") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw Failure("another `latchkey dev` runs on \(path): end it, or add a node with `latchkey serve --data`")
        }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    /// The administrator's password where it was generated here, else a new one, written down before it is used.
    func adminPassword() throws -> String {
        if let data = FileManager.default.contents(atPath: passwordFile) {
            return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
        }
        let password = Base64URL.encode(SecureRandom.bytes(18))
        try write(Array((password + "\n").utf8), to: passwordFile)
        return password
    }

    /// Whole or not at all, readable by its owner alone.
    private func write(_ bytes: [UInt8], to file: String) throws {
        let temporary = file + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure("\(file) cannot be written: is \(path) writable?") }
        defer { close(descriptor) }
        guard Foundation.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0,
            rename(temporary, file) == 0
        else { throw Failure("\(file) cannot be written: is the disk full?") }
    }
}
