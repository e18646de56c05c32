import Foundation

/// An IP address as bytes in network order: 4 or 16. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`, RFC 4291
/// §2.5.5.2) is the IPv4 one, so that a caller has one spelling whatever socket he comes by.
package struct IPAddress: Sendable, Hashable {
    package let bytes: [UInt8]

    /// nil where the text is not exactly an address: a zone (`%eth0`), a port or a space makes it none.
    package init?(_ text: String) {
        guard !text.utf8.contains(0) else { return nil }
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            bytes = withUnsafeBytes(of: &v4) { Array($0) }
            return
        }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        let all = withUnsafeBytes(of: &v6) { Array($0) }
        let isMapped = all[..<10].allSatisfy { $0 == 0 } && all[10...11].allSatisfy { $0 == 0xFF }
        bytes = isMapped ? Array(all[12...]) : all
    }

    /// RFC 5952 for IPv6.
    package var text: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// What one caller is thought to command: the IPv4 address itself, the first 64 bits of an IPv6 one.
    package var network: [UInt8] { bytes.count == 4 ? bytes : Array(bytes[..<8]) }
}

/// A range of addresses in CIDR notation, `10.0.0.0/8`; an address alone is a range of one.
package struct IPAddressRange: Sendable, Hashable {
    private let first: IPAddress
    private let bits: Int

    /// nil where the text is no range, or where bits are set beyond its length (`10.0.0.1/8` is a slip).
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let address = parts.first.flatMap({ IPAddress(String($0)) }), parts.count <= 2 else { return nil }
        let most = address.bytes.count * 8
        if parts.count == 2 {
            let digits = parts[1].utf8
            guard (1...3).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
                let bits = Int(parts[1]), bits <= most
            else { return nil }
            self.bits = bits
        } else {
            bits = most
        }
        first = address
        guard address.bytes.enumerated().allSatisfy({ $1 & ~mask(ofByte: $0) == 0 }) else { return nil }
    }

    package func contains(_ address: IPAddress) -> Bool {
        address.bytes.count == first.bytes.count
            && zip(address.bytes, first.bytes).enumerated().allSatisfy { index, pair in
                (pair.0 ^ pair.1) & mask(ofByte: index) == 0
            }
    }

    private func mask(ofByte index: Int) -> UInt8 {
        let within = min(8, max(0, bits - index * 8))
        return within == 0 ? 0 : 0xFF << UInt8(8 - within)
    }
}
