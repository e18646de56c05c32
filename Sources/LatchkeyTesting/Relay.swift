import Foundation
import Glibc
import Synchronization

/// A socket between this process and its PostgreSQL, which hears what is sent, and can lose, hold or delay it.
package final class Relay: Sendable {
    package enum Mode: Sendable, Equatable {
        /// Forwards at once.
        case open
        /// Swallows what the server answers.
        case mute
        /// Ends the connection when the next answer comes.
        case cut
        /// Ends the connection when the next request comes, of which the server gets a part.
        case cutRequest
        /// Ends the connection when the answer to a COMMIT comes. Grouped statements send none: `cut` is for them.
        case cutAtCommit
        /// Holds everything, both ways, until the mode changes: a partition that passes.
        case held
        /// Forwards each piece later, both ways.
        case slow(milliseconds: UInt32)
    }

    private struct State {
        var mode = Mode.open
        var sent: [[UInt8]] = []
        var isListening = false
        var accepted = 0
    }

    package let connectionString: String
    private let folder: String
    private let server: String
    private let listener: Int32
    private let state = Mutex(State())

    /// - Parameter connectionString: as `EmbeddedPostgres` writes them: host, port, user, dbname, requirepeer.
    package init(to connectionString: String) throws {
        let values = connectionString.split(separator: "'").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        server = "\(values[0])/.s.PGSQL.5432"
        folder = "/tmp/latchkey-relay-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        self.connectionString = "host='\(folder)' port='5432' user='\(values[2])' dbname='\(values[3])'"
        listener = Self.socket("\(folder)/.s.PGSQL.5432") { Glibc.bind($0, $1, $2) }
        guard listener >= 0, listen(listener, 64) == 0 else { throw CocoaError(.fileWriteUnknown) }
        Thread.detachNewThread { [self] in accept() }
    }

    /// Ends the relay; the connections through it go on until either side closes.
    package func close() {
        set(.open)
        shutdown(listener, Int32(SHUT_RDWR))
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// From now on.
    package func set(_ mode: Mode) {
        state.withLock { $0.mode = mode }
    }

    /// What each read from the client brought, since it was last asked; the first call begins to listen.
    package func takeSent() -> [[UInt8]] {
        state.withLock { state in
            defer { state.sent = [] }
            state.isListening = true
            return state.sent
        }
    }

    /// How many connections were made through it.
    package var acceptedCount: Int { state.withLock { $0.accepted } }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { break }
            state.withLock { $0.accepted += 1 }
            let connection = RelayedConnection(
                client: client, server: Self.socket(server) { connect($0, $1, $2) })
            let commits = Commits()
            Thread.detachNewThread { [self] in
                var commit: [UInt8]?
                connection.forward(.toServer) { bytes in
                    state.withLock { if $0.isListening { $0.sent.append(bytes) } }
                    wait()
                    commit = commit ?? Self.commitName(preparedIn: bytes)
                    switch state.withLock({ $0.mode }) {
                    case .open, .held, .slow, .mute, .cut: break
                    case .cutRequest:
                        connection.cut()
                        return bytes.count / 2
                    case .cutAtCommit:
                        if let commit, bytes.contains(commit) { commits.areUnderWay.store(true, ordering: .relaxed) }
                    }
                    return bytes.count
                }
            }
            Thread.detachNewThread { [self] in
                connection.forward(.toClient) { bytes in
                    wait()
                    let mode = state.withLock { $0.mode }
                    switch mode {
                    case .mute: return 0
                    case .cut,
                        .cutAtCommit where commits.areUnderWay.load(ordering: .relaxed):
                        connection.cut()
                        return 0
                    case .open, .held, .slow, .cutRequest, .cutAtCommit: return bytes.count
                    }
                }
            }
        }
        Glibc.close(listener)
    }

    /// What a later Bind of the statement COMMIT holds; nil where the piece does not prepare it. In the Parse message
    /// (PostgreSQL's protocol, "Message Formats") its name precedes its text, each ended by 0.
    private static func commitName(preparedIn bytes: [UInt8]) -> [UInt8]? {
        guard let text = bytes.firstRange(of: [0] + Array("COMMIT".utf8) + [0])?.lowerBound else { return nil }
        let name = bytes[..<text].reversed().prefix { $0 != 0 }.reversed()
        // The last byte of the message's length stands before the name, and is none of its letters.
        return [0] + name.drop { $0 != UInt8(ascii: "s") } + [0]
    }

    /// On a thread that forwards.
    private func wait() {
        if case .slow(let milliseconds) = state.withLock({ $0.mode }) { usleep(milliseconds * 1000) }
        while state.withLock({ $0.mode }) == .held { usleep(5_000) }
    }

    /// Of one connection: whether a COMMIT was sent whose answer has not come yet.
    private final class Commits: Sendable {
        let areUnderWay = Atomic(false)
    }

    private static func socket(
        _ path: String, _ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                use(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return result == 0 ? descriptor : -1
    }
}
