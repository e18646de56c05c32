import Foundation
import Glibc
import LatchkeyTesting
import Synchronization

/// Somebody between a verifier and its node, on loopback: forwards, holds, slows or cuts, and can lead to another node.
final class LoopbackRelay: Sendable {
    enum Mode: Sendable, Equatable {
        case open
        /// Holds everything, both ways, until the mode changes.
        case held
        /// Forwards each piece later.
        case slow(milliseconds: UInt32)
        /// Ends each connection at its next piece, and takes none.
        case cut
    }

    private struct State {
        var mode = Mode.open
        var target: Int
    }

    let port: Int
    private let listener: Int32
    private let state: Mutex<State>

    init(to target: Int) throws {
        state = Mutex(State(target: target))
        listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = Self.loopback(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(listener, $0, size) == 0 && listen(listener, 64) == 0
                    && getsockname(listener, $0, &size) == 0
            }
        }
        guard isListening else { throw CocoaError(.fileWriteUnknown) }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [self] in accept() }
    }

    func set(_ mode: Mode) { state.withLock { $0.mode = mode } }
    func lead(to target: Int) { state.withLock { $0.target = target } }

    func close() {
        set(.cut)
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private var mode: Mode { state.withLock { $0.mode } }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else { break }
            let server = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            var address = Self.loopback(port: state.withLock { $0.target })
            let isConnected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            let connection = RelayedConnection(client: client, server: server)
            guard isConnected, mode != .cut else { continue }
            Thread.detachNewThread { [self] in forward(connection, .toServer) }
            Thread.detachNewThread { [self] in forward(connection, .toClient) }
        }
        Glibc.close(listener)
    }

    private func forward(_ connection: RelayedConnection, _ way: RelayedConnection.Way) {
        connection.forward(way) { bytes in
            if case .slow(let milliseconds) = mode { usleep(milliseconds * 1000) }
            while mode == .held { usleep(5_000) }
            guard mode == .cut else { return bytes.count }
            connection.cut()
            return 0
        }
    }

    private static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return address
    }
}
