/// An address that is safe to ask for keys or revocations: `https`, or `http` on the loopback.
///
/// Kept as the text that was checked. It is never taken apart and put together by another parser: `URL` maps full-width
/// letters in hosts, and what was checked would not be what is asked.
struct Endpoint: Sendable, Equatable {
    let text: String

    /// - Returns: nil for another scheme, user information, a fragment, an empty host, or a byte that does not belong
    ///   into a URL (RFC 3986 §2).
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count <= 2048, bytes.allSatisfy(Self.isAllowed) else { return nil }
        let secure = Array("https://".utf8)
        let plain = Array("http://".utf8)
        let rest: ArraySlice<UInt8>
        if bytes.starts(with: secure) {
            rest = bytes.dropFirst(secure.count)
        } else if bytes.starts(with: plain) {
            rest = bytes.dropFirst(plain.count)
        } else {
            return nil
        }
        let authority = rest.prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        guard let host = Self.host(authority), bytes.starts(with: secure) || Self.loopback.contains(host) else {
            return nil
        }
        self.text = text
    }

    /// The address with `suffix` behind its path: RFC 8414 and OpenID Connect Discovery 1.0 §4 put it there.
    func appending(_ suffix: String) -> Endpoint? {
        var base = text
        while base.utf8.last == UInt8(ascii: "/") { base.removeLast() }
        return Endpoint(base + suffix)
    }

    /// The address with `parameters` in its query; names and values are of unreserved characters (RFC 3986 §2.3).
    func query(_ parameters: [(String, String)]) -> String {
        guard !parameters.isEmpty else { return text }
        let query = parameters.map { "\($0)=\($1)" }.joined(separator: "&")
        return text + (text.utf8.contains(UInt8(ascii: "?")) ? "&" : "?") + query
    }

    private static let loopback = ["127.0.0.1", "localhost", "[::1]"].map { Array($0.utf8) }

    /// Unreserved, gen-delims without `#` and `@`, sub-delims, `%` (RFC 3986 §2). `@` would begin the host anew.
    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._~:/?[]!$&'()*+,;=%".utf8.contains(byte)
        }
    }

    /// `host [ ":" port ]` without the port; nil where either is malformed.
    private static func host(_ authority: ArraySlice<UInt8>) -> [UInt8]? {
        let end: Int
        if authority.first == UInt8(ascii: "[") {
            guard let bracket = authority.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            end = bracket + 1
        } else {
            end = authority.firstIndex(of: UInt8(ascii: ":")) ?? authority.endIndex
        }
        let (host, port) = (authority[..<end], authority[end...])
        guard !host.isEmpty else { return nil }
        guard port.isEmpty || port.first == UInt8(ascii: ":") else { return nil }
        guard port.dropFirst().allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
        return Array(host)
    }
}
