import Glibc

/// A connection that a relay stands in: the two sockets of it, and how one forwards to the other.
package final class RelayedConnection: Sendable {
    package enum Way { case toServer, toClient }

    private let client: Int32
    private let server: Int32

    package init(client: Int32, server: Int32) {
        self.client = client
        self.server = server
    }

    /// Closed when both ways are done with it: a number closed earlier may be another connection's already.
    deinit {
        close(client)
        close(server)
    }

    /// Ends it; what is on its way is lost.
    package func cut() { _ = shutdown(client, Int32(SHUT_RDWR)) }

    /// Forwards until either side closes. Blocks: on a thread of its own.
    ///
    /// - Parameter passes: how many of the bytes that one read brought go on.
    package func forward(_ way: Way, passes: ([UInt8]) -> Int) {
        let (from, to) = way == .toServer ? (client, server) : (server, client)
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(from, &buffer, buffer.count)
            guard count > 0 else { break }
            let passing = passes(Array(buffer.prefix(count)))
            var start = 0
            while start < passing {
                let written = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress?.advanced(by: start), passing - start, Int32(MSG_NOSIGNAL))
                }
                guard written > 0 else { break }
                start += written
            }
        }
        withExtendedLifetime(self) {
            _ = shutdown(to, Int32(SHUT_RDWR))
            _ = shutdown(from, Int32(SHUT_RDWR))
        }
    }
}
