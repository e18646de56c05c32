/// The words and characters of RFC 9110 and RFC 9112, as bytes.
enum HTTPBytes {
    static let options = Array("OPTIONS".utf8)
    static let known = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"].map { Array($0.utf8) }
    static let host = Array("host".utf8)
    static let expect = Array("expect".utf8)
    static let continuation = Array("100-continue".utf8)
    static let upgrade = Array("upgrade".utf8)
    static let connection = Array("connection".utf8)
    static let proxyConnection = Array("proxy-connection".utf8)
    static let close = Array("close".utf8)
    static let contentLength = Array("content-length".utf8)
    static let transferEncoding = Array("transfer-encoding".utf8)
    static let chunked = Array("chunked".utf8)
    private static let http1 = Array("HTTP/1.".utf8)
    private static let http = Array("HTTP/".utf8)

    /// A set of ASCII characters: a bit each.
    struct Characters {
        private let low: UInt64
        private let high: UInt64

        init(_ text: StaticString) {
            var bits: (UInt64, UInt64) = (0, 0)
            for byte in "\(text)".utf8 {
                if byte < 64 { bits.0 |= 1 << UInt64(byte) } else { bits.1 |= 1 << UInt64(byte - 64) }
            }
            (low, high) = bits
        }

        func contains(_ byte: UInt8) -> Bool {
            switch byte {
            case 0..<64: low >> UInt64(byte) & 1 == 1
            case 64..<128: high >> UInt64(byte - 64) & 1 == 1
            default: false
            }
        }
    }

    /// RFC 9110 §5.6.2.
    private static let token = Characters(
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

    static func isToken(_ byte: UInt8) -> Bool { token.contains(byte) }

    static func isHexDigit(_ byte: UInt8) -> Bool { hexDigit(byte) != nil }

    static func hexDigit(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte) - 0x30
        case 0x41...0x46: Int(byte) - 0x41 + 10
        case 0x61...0x66: Int(byte) - 0x61 + 10
        default: nil
        }
    }

    enum Matching { case exactly, ignoringCase }

    /// - Parameter word: in small letters where case is ignored.
    static func equal(_ bytes: Span<UInt8>, _ range: Range<Int>, _ word: [UInt8], _ matching: Matching) -> Bool {
        guard range.count == word.count else { return false }
        for offset in 0..<word.count {
            var byte = bytes[range.lowerBound + offset]
            if matching == .ignoringCase, (0x41...0x5A).contains(byte) { byte += 0x20 }
            if byte != word[offset] { return false }
        }
        return true
    }

    enum MinorVersion { case zero, one, unsupported }

    /// RFC 9112 §2.3; nil where it is no version at all.
    static func minorVersion(_ bytes: Span<UInt8>, _ range: Range<Int>) -> MinorVersion? {
        guard range.count == 8, equal(bytes, range.prefix(5), http, .exactly),
            (0x30...0x39).contains(bytes[range.lowerBound + 5]), bytes[range.lowerBound + 6] == UInt8(ascii: "."),
            (0x30...0x39).contains(bytes[range.lowerBound + 7])
        else { return nil }
        guard equal(bytes, range.prefix(7), http1, .exactly) else { return .unsupported }
        switch bytes[range.lowerBound + 7] {
        case UInt8(ascii: "0"): return .zero
        case UInt8(ascii: "1"): return .one
        default: return .unsupported
        }
    }

    /// Without the spaces and tabs around it.
    static func trimmed(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high, bytes[low] == 0x20 || bytes[low] == 0x09 { low += 1 }
        while low < high, bytes[high - 1] == 0x20 || bytes[high - 1] == 0x09 { high -= 1 }
        return low..<high
    }

    /// RFC 9110 §5.6.1: what stands between commas, trimmed; empty elements too.
    static func elements(_ bytes: Span<UInt8>, _ range: Range<Int>) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start = range.lowerBound
        for index in range where bytes[index] == UInt8(ascii: ",") {
            found.append(trimmed(bytes, start..<index))
            start = index + 1
        }
        found.append(trimmed(bytes, start..<range.upperBound))
        return found
    }

    /// - Parameter word: in small letters.
    static func list(_ bytes: Span<UInt8>, _ range: Range<Int>, holds word: [UInt8]) -> Bool {
        if equal(bytes, range, word, .ignoringCase) { return true }
        guard range.contains(where: { bytes[$0] == UInt8(ascii: ",") }) else { return false }
        return elements(bytes, range).contains { equal(bytes, $0, word, .ignoringCase) }
    }
}

extension Range<Int> {
    fileprivate func prefix(_ count: Int) -> Range<Int> { lowerBound..<Swift.min(upperBound, lowerBound + count) }
}
