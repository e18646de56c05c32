/// The request target, RFC 9112 §3.2, strictly:
///
///     target    = path [ "?" query ] / ( "http" / "https" ) "://" authority [ path ] [ "?" query ] / "*"
///     path      = "/" *( pchar / "/" )            RFC 3986 §3.3
///     query     = *( visible ASCII but # " < > )   browsers leave { | } ^ ` as they are
///     authority = ( name / "[" IPv6 "]" ) [ ":" *5DIGIT ]
///
/// Percent signs stand before two hexadecimal digits. In a path these never name a control character: a NUL, CR or LF
/// that somebody decodes later ends a string or a line. No fragment, no user: neither belongs into a request, and a
/// proxy may route by what stands before an `@`.
enum RequestTarget {
    enum Asterisk { case allowed, refused }

    private static let http = Array("http://".utf8)
    private static let https = Array("https://".utf8)
    private static let path = HTTPBytes.Characters(
        "/-._~!$&'()*+,;=:@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    private static let name = HTTPBytes.Characters(
        "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

    /// - Parameters:
    ///   - target: not empty.
    ///   - asterisk: for OPTIONS alone.
    static func isValid(_ bytes: Span<UInt8>, _ target: Range<Int>, asterisk: Asterisk) -> Bool {
        if bytes[target.lowerBound] == UInt8(ascii: "/") { return isPathAndQuery(bytes, target) }
        if bytes[target.lowerBound] == UInt8(ascii: "*") { return target.count == 1 && asterisk == .allowed }
        for scheme in [http, https] {
            let end = target.lowerBound + scheme.count
            guard target.count > scheme.count,
                HTTPBytes.equal(bytes, target.lowerBound..<end, scheme, .ignoringCase)
            else { continue }
            var slash = end
            while slash < target.upperBound, bytes[slash] != UInt8(ascii: "/"), bytes[slash] != UInt8(ascii: "?") {
                slash += 1
            }
            return isAuthority(bytes, end..<slash) && isPathAndQuery(bytes, slash..<target.upperBound)
        }
        return false
    }

    /// RFC 3986 §3.2 without the user; not empty.
    static func isAuthority(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard let first = range.first else { return false }
        var index = first
        if bytes[first] == UInt8(ascii: "[") {
            index += 1
            while index < range.upperBound, HTTPBytes.isHexDigit(bytes[index]) || isColonOrDot(bytes[index]) {
                index += 1
            }
            guard index > first + 2, index < range.upperBound, bytes[index] == UInt8(ascii: "]") else { return false }
            index += 1
        } else {
            while index < range.upperBound, name.contains(bytes[index]) { index += 1 }
            guard index > first else { return false }
        }
        guard index < range.upperBound else { return true }
        guard bytes[index] == UInt8(ascii: ":"), range.upperBound - index <= 6 else { return false }
        return (index + 1..<range.upperBound).allSatisfy { (0x30...0x39).contains(bytes[$0]) }
    }

    private static func isColonOrDot(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }

    private static func isPathAndQuery(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        var index = range.lowerBound
        var isPath = true
        while index < range.upperBound {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "?"):
                isPath = false
            case UInt8(ascii: "%"):
                guard index + 2 < range.upperBound, let high = HTTPBytes.hexDigit(bytes[index + 1]),
                    let low = HTTPBytes.hexDigit(bytes[index + 2])
                else { return false }
                let decoded = high << 4 | low
                if isPath, decoded < 0x20 || decoded == 0x7F { return false }
                index += 2
            case UInt8(ascii: "#"), UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"):
                return false
            default:
                guard isPath ? path.contains(byte) : (0x21...0x7E).contains(byte) else { return false }
            }
            index += 1
        }
        return true
    }
}
