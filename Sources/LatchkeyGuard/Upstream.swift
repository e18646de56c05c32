/// Where the guard's requests go: an origin (RFC 6454 §4), of which only the path and the query of a request are appended.
package struct Upstream: Sendable, Equatable {
    /// `http://host:port` without a slash at its end.
    private let origin: String

    /// - Returns: nil for another scheme, a user, a path, a query, an empty host or a malformed port.
    package init?(_ text: String) {
        var text = text
        if text.utf8.last == UInt8(ascii: "/") { text.removeLast() }
        let bytes = Array(text.utf8)
        guard let scheme = ["http://", "https://"].first(where: { bytes.starts(with: $0.utf8) }) else { return nil }
        let authority = bytes.dropFirst(scheme.utf8.count)
        let end: Int
        if authority.first == UInt8(ascii: "[") {
            guard let bracket = authority.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            end = bracket + 1
            guard authority[..<end].dropFirst().dropLast().allSatisfy(Self.isOfAddress), end > authority.startIndex + 3
            else { return nil }
        } else {
            end = authority.firstIndex(of: UInt8(ascii: ":")) ?? authority.endIndex
            guard end > authority.startIndex, authority[..<end].allSatisfy(Self.isOfName) else { return nil }
        }
        let port = authority[end...]
        guard port.isEmpty || port.first == UInt8(ascii: ":") else { return nil }
        if !port.isEmpty {
            guard let number = GuardSettingsReading.digits(String(decoding: port.dropFirst(), as: UTF8.self)),
                1...65_535 ~= number
            else { return nil }
        }
        origin = text
    }

    /// The address of a request's target, which stays what it was, byte for byte: but what browsers leave in a query and
    /// RFC 3986 §3.4 does not allow (`[ ] { | } ^ ` and the grave accent) is percent-encoded here, because the client
    /// below would take such an address apart and put it together in a way of its own.
    ///
    /// - Parameter target: of a request that has passed the strict reading of `RequestTarget`.
    /// - Returns: nil for a target that does not begin with a slash (`*`, or a whole URL: those are for other proxies).
    func address(of target: String) -> String? {
        guard target.utf8.first == UInt8(ascii: "/") else { return nil }
        var address = Array(origin.utf8)
        for byte in target.utf8 {
            if "[]{|}^`\\".utf8.contains(byte) {
                address.append(UInt8(ascii: "%"))
                address += String(byte, radix: 16, uppercase: true).utf8
            } else {
                address.append(byte)
            }
        }
        return String(decoding: address, as: UTF8.self)
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x30...0x39: true
        default: "-._".utf8.contains(byte)
        }
    }

    private static func isOfAddress(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"), 0x30...0x3A: true
        default: byte == UInt8(ascii: ".")
        }
    }
}
