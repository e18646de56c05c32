import Foundation
import Glibc
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
            let pair = Pair(client: client, server: server)
            guard isConnected, mode != .cut else { continue }
            Thread.detachNewThread { [self] in pump(pair, from: pair.client, to: pair.server) }
            Thread.detachNewThread { [self] in pump(pair, from: pair.server, to: pair.client) }
        }
        Glibc.close(listener)
    }

    /// Closed when both pumps are done with it: a number closed earlier may be another connection's already.
    private final class Pair: Sendable {
        let client: Int32
        let server: Int32

        init(client: Int32, server: Int32) {
            self.client = client
            self.server = server
        }

        deinit {
            Glibc.close(client)
            Glibc.close(server)
        }
    }

    private func pump(_ pair: Pair, from: Int32, to: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(from, &buffer, buffer.count)
            guard count > 0 else { break }
            if case .slow(let milliseconds) = mode { usleep(milliseconds * 1000) }
            while mode == .held { usleep(5_000) }
            if mode == .cut { break }
            var start = 0
            while start < count {
                let written = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress?.advanced(by: start), count - start, Int32(MSG_NOSIGNAL))
                }
                guard written > 0 else { break }
                start += written
            }
        }
        withExtendedLifetime(pair) {
            _ = shutdown(to, Int32(SHUT_RDWR))
            _ = shutdown(from, Int32(SHUT_RDWR))
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
