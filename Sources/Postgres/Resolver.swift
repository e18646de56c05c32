import Foundation

/// Looks names up on threads of their own, since libpq's look-up would hold up the one thread that drives every
/// connection. A name is looked up once at a time, whoever asks for it meanwhile: a name server that does not answer
/// keeps one thread for each name, however often it is asked. Nothing is kept: an address may change in a failover.
/// Lives on the reactor's thread.
final class Resolver {
    /// The addresses of a name, none where it has none. May block.
    typealias LookUp = @Sendable (String) -> [String]

    private let lookUp: LookUp
    /// Who waits for which name, by the asking connection.
    private var waiting: [String: [Int: ([String]) -> Void]] = [:]

    init(_ lookUp: @escaping LookUp) {
        self.lookUp = lookUp
    }

    func resolve(_ name: String, for connection: Int, reactor: Reactor, _ found: @escaping ([String]) -> Void) {
        let isUnderWay = waiting[name] != nil
        waiting[name, default: [:]][connection] = found
        guard !isUnderWay else { return }
        let thread = Thread { [lookUp, weak reactor] in
            let addresses = lookUp(name)
            _ = reactor?.post { $0.resolver.finish(name, addresses) }
        }
        thread.name = "resolver"
        thread.start()
    }

    /// The connection waits no longer.
    func forget(_ connection: Int) {
        for name in waiting.keys { waiting[name]?[connection] = nil }
    }

    private func finish(_ name: String, _ addresses: [String]) {
        for found in waiting.removeValue(forKey: name)?.values ?? [:].values { found(addresses) }
    }

    /// By the system, as libpq would: in the order of RFC 6724.
    static let system: LookUp = { name in
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &first) == 0 else { return [] }
        defer { freeaddrinfo(first) }
        var addresses: [String] = []
        var next = first
        while let info = next?.pointee {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if getnameinfo(info.ai_addr, info.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                if !addresses.contains(address) { addresses.append(address) }
            }
            next = info.ai_next
        }
        return addresses
    }
}
