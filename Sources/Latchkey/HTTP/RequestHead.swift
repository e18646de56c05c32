/// What decides where a request ends and what becomes of its connection, gathered line by line from its head.
struct RequestHead: Equatable {
    enum Framing: Equatable {
        case none
        /// More than nothing.
        case fixed(Int)
        case chunked
    }

    /// The longest request line whose target is not too long: PROPPATCH and HTTP/1.1 beside it.
    static let longestLine = EdgeLimits.targetBytes + 32

    private(set) var framing = Framing.none
    /// No request follows on this connection: the caller said so, speaks HTTP/1.0, or asked for an upgrade that is
    /// ignored, behind which the parser reads nothing.
    private(set) var isLast = false
    /// RFC 9110 §10.1.1: the caller waits for leave to send the body.
    private(set) var wantsContinue = false
    /// The request line has been read.
    private(set) var isBegun = false

    private var isVersion11 = false
    private var fields = 0
    private var hosts = 0
    private var contentLength: Int?
    private var transferCoding: Coding?

    private enum Coding { case chunked, other }

    /// RFC 9112 §3.
    mutating func takeRequestLine(_ bytes: Span<UInt8>, _ line: Range<Int>) -> EdgeRefusal? {
        guard let first = line.first(where: { bytes[$0] == 0x20 }), let last = line.last(where: { bytes[$0] == 0x20 }),
            first > line.lowerBound, last > first + 1
        else { return .requestLine }
        // A third space stands in the target then, which is refused for it.
        let method = line.lowerBound..<first
        let target = first + 1..<last
        let version = last + 1..<line.upperBound
        guard method.allSatisfy({ HTTPBytes.isToken(bytes[$0]) }), let minor = HTTPBytes.minorVersion(bytes, version)
        else { return .requestLine }
        guard minor != .unsupported else { return .version }
        isVersion11 = minor == .one
        isLast = !isVersion11
        // Those that the router can refuse with 405 where a path has them not. CONNECT is for proxies.
        guard HTTPBytes.known.contains(where: { HTTPBytes.equal(bytes, method, $0, .exactly) }) else { return .method }
        guard target.count <= EdgeLimits.targetBytes else { return .targetTooLong }
        let isOptions = HTTPBytes.equal(bytes, method, HTTPBytes.options, .exactly)
        guard RequestTarget.isValid(bytes, target, asterisk: isOptions ? .allowed : .refused) else { return .target }
        isBegun = true
        return nil
    }

    /// RFC 9112 §5.
    mutating func takeField(_ bytes: Span<UInt8>, _ line: Range<Int>) -> EdgeRefusal? {
        fields += 1
        guard fields <= EdgeLimits.fieldCount else { return .fieldsTooLarge }
        var colon = line.lowerBound
        while colon < line.upperBound, HTTPBytes.isToken(bytes[colon]) { colon += 1 }
        // A folded line begins with a space, one before the colon is part of the name to some: both are §5.1 and §5.2.
        guard colon > line.lowerBound, colon < line.upperBound, bytes[colon] == UInt8(ascii: ":") else { return .field }
        let name = line.lowerBound..<colon
        let value = HTTPBytes.trimmed(bytes, colon + 1..<line.upperBound)
        switch name.count {
        case 4 where HTTPBytes.equal(bytes, name, HTTPBytes.host, .ignoringCase):
            hosts += 1
            if hosts > 1 || !RequestTarget.isAuthority(bytes, value) { return .host }
        case 6 where HTTPBytes.equal(bytes, name, HTTPBytes.expect, .ignoringCase):
            guard HTTPBytes.equal(bytes, value, HTTPBytes.continuation, .ignoringCase) else { return .expectation }
            wantsContinue = isVersion11
        case 7 where HTTPBytes.equal(bytes, name, HTTPBytes.upgrade, .ignoringCase):
            isLast = true
        case 10 where HTTPBytes.equal(bytes, name, HTTPBytes.connection, .ignoringCase),
            16 where HTTPBytes.equal(bytes, name, HTTPBytes.proxyConnection, .ignoringCase):
            if HTTPBytes.list(bytes, value, holds: HTTPBytes.close) { isLast = true }
        case 14 where HTTPBytes.equal(bytes, name, HTTPBytes.contentLength, .ignoringCase):
            return takeContentLength(bytes, value)
        case 17 where HTTPBytes.equal(bytes, name, HTTPBytes.transferEncoding, .ignoringCase):
            // White space behind it is sound (RFC 9112 §5.1) and a known obfuscation; llhttp takes it for another coding.
            return value.upperBound < line.upperBound ? .framing : takeTransferEncoding(bytes, value)
        default: break
        }
        return nil
    }

    /// What only the whole head tells. RFC 9112 §3.2 and §6.3.
    /// - Parameter bodyLimit: in bytes.
    mutating func finish(bodyLimit: Int = EdgeLimits.bodyBytes) -> EdgeRefusal? {
        if isVersion11 && hosts == 0 { return .host }
        switch (transferCoding, contentLength) {
        case (nil, nil): framing = .none
        case (nil, let length?):
            guard length <= bodyLimit else { return .bodyTooLarge }
            framing = length == 0 ? .none : .fixed(length)
        case (_?, _?): return .framing
        // §6.1: to a caller of HTTP/1.0 the coding means nothing, so its request ends elsewhere.
        case (_?, nil) where !isVersion11: return .framing
        case (.other?, nil): return .transferCoding
        case (.chunked?, nil): framing = .chunked
        }
        if framing == .none { wantsContinue = false }
        return nil
    }

    /// Twice is refused even where both say the same: the copy of a proxy's reading and a caller's.
    private mutating func takeContentLength(_ bytes: Span<UInt8>, _ value: Range<Int>) -> EdgeRefusal? {
        guard contentLength == nil, (1...18).contains(value.count) else { return .framing }
        var length = 0
        for index in value {
            guard (0x30...0x39).contains(bytes[index]) else { return .framing }
            length = length * 10 + Int(bytes[index] - 0x30)
        }
        contentLength = length
        return nil
    }

    /// The one coding `chunked`. Others before it are not implemented (501); anything else leaves the length open (400).
    private mutating func takeTransferEncoding(_ bytes: Span<UInt8>, _ value: Range<Int>) -> EdgeRefusal? {
        guard transferCoding == nil else { return .framing }
        if HTTPBytes.equal(bytes, value, HTTPBytes.chunked, .ignoringCase) {
            transferCoding = .chunked
            return nil
        }
        transferCoding = .other
        var parts = HTTPBytes.elements(bytes, value)
        guard let last = parts.popLast(), HTTPBytes.equal(bytes, last, HTTPBytes.chunked, .ignoringCase) else {
            return .framing
        }
        for part in parts {
            guard !part.isEmpty, part.allSatisfy({ HTTPBytes.isToken(bytes[$0]) }),
                !HTTPBytes.equal(bytes, part, HTTPBytes.chunked, .ignoringCase)
            else { return .framing }
        }
        return nil
    }
}
