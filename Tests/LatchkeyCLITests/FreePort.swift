import Foundation
import Glibc
import Synchronization

/// Ports of loopback that nobody listens on: below those that the kernel gives to connections and to port 0.
enum FreePort {
    private static let range = 20_000..<32_000

    /// One that was not given out before to anybody in this process.
    static func next() -> Int {
        given.withLock { given in
            while true {
                given = range.contains(given + 1) ? given + 1 : range.lowerBound
                if isFree(given) { return given }
            }
        }
    }

    private static let given = Mutex(Int.random(in: range))

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
