/// The proxies whose word on the caller's address is taken: `X-Forwarded-For`, to whose end each proxy adds the address
/// that it saw. Anybody may send that field, so it counts only as far as it comes from one of these.
package struct TrustedProxies: Sendable, Equatable {
    private let ranges: [IPAddressRange]

    /// Nobody is.
    package static let none = TrustedProxies([])

    package init(_ ranges: [IPAddressRange]) {
        self.ranges = ranges
    }

    package var isEmpty: Bool { ranges.isEmpty }

    /// The rightmost address that is not one of the proxies. What is no address was made up by someone behind the last
    /// proxy that was read, and counts as that proxy's own address.
    ///
    /// - Parameters:
    ///   - peer: the other end of the connection.
    ///   - forwardedFor: the field's lines, joined by commas in their order.
    package func caller(peer: IPAddress, forwardedFor: String?) -> IPAddress {
        guard let forwardedFor, isTrusted(peer) else { return peer }
        var nearest = peer
        for part in forwardedFor.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).reversed() {
            let text = part.drop { $0 == 0x20 || $0 == 0x09 }.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed()
            guard text.count <= 45, let address = IPAddress(String(decoding: Array(text), as: UTF8.self)) else { break }
            nearest = address
            guard isTrusted(address) else { break }
        }
        return nearest
    }

    private func isTrusted(_ address: IPAddress) -> Bool {
        ranges.contains { $0.contains(address) }
    }
}
