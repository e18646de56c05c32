import NIOCore
import Testing

@testable import Latchkey

@Suite("The gate before the parser")
struct RequestGateTests {
    /// What passed of some bytes, and how it ended.
    struct Outcome: Equatable {
        var heads: [Int] = []
        var ends: [Int] = []
        var passed = 0
        var refusal: EdgeRefusal?
    }

    /// Hands the bytes over in pieces, as they might come from a socket.
    static func outcome(of bytes: [UInt8], piece: Int) -> Outcome {
        var gate = RequestGate()
        var outcome = Outcome()
        var arrived = 0
        while arrived < bytes.count {
            arrived = min(bytes.count, arrived + piece)
            feeding: while outcome.passed < arrived {
                switch gate.next(bytes[outcome.passed..<arrived].span) {
                case .wait: break feeding
                case .head(let length, _):
                    outcome.passed += length
                    outcome.heads.append(outcome.passed)
                    if !gate.isInBody { outcome.ends.append(outcome.passed) }
                case .body(let length): outcome.passed += length
                case .end(let length):
                    outcome.passed += length
                    outcome.ends.append(outcome.passed)
                case .refused(let refusal):
                    outcome.refusal = refusal
                    return outcome
                }
            }
        }
        return outcome
    }

    static func bytes(_ text: String) -> [UInt8] {
        text.unicodeScalars.map { UInt8($0.value) }
    }

    private static let host = "Host: a\r\n"

    @Test(
        "finds the end of each request, however its bytes come",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1), ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
            ("GET / HTTP/1.0\r\n\r\n", 1),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 1),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 0005 \t\r\n\r\nhello", 1),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 1),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chUnKed\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005;a=\"b\"\r\nhello\r\nA;x\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n",
                1
            ),
            ("GET /a?b={c}|%20 HTTP/1.1\r\nhOsT: [::1]:80\r\nX: \u{80}\u{FF}\r\nY:\r\n\r\n", 1),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://b.example:80?x HTTP/1.1\r\nHost: a\r\n\r\n", 2),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2),
        ])
    func ends(text: String, requests: Int) {
        let bytes = Self.bytes(text)
        let whole = Self.outcome(of: bytes, piece: bytes.count)
        #expect(whole.refusal == nil && whole.passed == bytes.count)
        #expect(whole.heads.count == requests && whole.ends.count == requests && whole.ends.last == bytes.count)
        for piece in [1, 2, 3, 7] { #expect(Self.outcome(of: bytes, piece: piece) == whole) }
    }

    static let refusals: [(EdgeRefusal, String)] = [
        (.requestLine, "GET /\r\n\r\n"), (.target, "GET  / HTTP/1.1\r\n"), (.target, "GET / x HTTP/1.1\r\n"),
        (.requestLine, " GET / HTTP/1.1\r\n"), (.requestLine, "GET / http/1.1\r\n"), (.requestLine, "\u{16}\u{3}\u{1}"),
        (.requestLine, "\r\n\r\nGET / HTTP/1.1\r\n"), (.requestLine, "G\u{0}T / HTTP/1.1\r\n"),
        (.requestLine, "GET\t/\tHTTP/1.1\r\n"), (.requestLine, "G(T / HTTP/1.1\r\n"),
        (.method, "get / HTTP/1.1\r\n"), (.method, "CONNECT a:1 HTTP/1.1\r\n"), (.version, "GET / HTTP/1.2\r\n"),
        (.version, "PRI * HTTP/2.0\r\n"), (.lineEnding, "GET / HTTP/1.1\n"), (.lineEnding, "GET / HTTP/1.1\r\r\n"),
        (.target, "GET a HTTP/1.1\r\n"), (.target, "GET * HTTP/1.1\r\n"), (.target, "OPTIONS *x HTTP/1.1\r\n"),
        (.target, "GET /#a HTTP/1.1\r\n"), (.target, "GET /\\a HTTP/1.1\r\n"), (.target, "GET /\u{E9} HTTP/1.1\r\n"),
        (.target, "GET /% HTTP/1.1\r\n"), (.target, "GET /%0 HTTP/1.1\r\n"), (.target, "GET /%00 HTTP/1.1\r\n"),
        (.target, "GET /%0d%0a HTTP/1.1\r\n"), (.target, "GET /%7F HTTP/1.1\r\n"), (.target, "GET /?%xx HTTP/1.1\r\n"),
        (.target, "GET http:// HTTP/1.1\r\n"), (.target, "GET http://u@a/ HTTP/1.1\r\n"),
        (.target, "GET ftp://a/ HTTP/1.1\r\n"), (.target, "GET http://a:b/ HTTP/1.1\r\n"),
        (.target, "GET http:/a HTTP/1.1\r\n"), (.target, "GET http://[::1/ HTTP/1.1\r\n"),
        (.targetTooLong, "GET /\(String(repeating: "a", count: 8192)) HTTP/1.1\r\n"),
        (.targetTooLong, String(repeating: "G", count: 9000)),
        (.host, "GET / HTTP/1.1\r\n\r\n"), (.host, "GET / HTTP/1.1\r\nHost:\r\n"),
        (.host, "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n"), (.host, "GET / HTTP/1.1\r\nHost: a b\r\n"),
        (.host, "GET / HTTP/1.1\r\nHost: a,b\r\n"), (.host, "GET / HTTP/1.1\r\nHost: u@a\r\n"),
        (.host, "GET / HTTP/1.1\r\nHost: a/b\r\n"), (.host, "GET / HTTP/1.1\r\nHost: a:8o\r\n"),
        (.host, "GET / HTTP/1.1\r\nHost: a:123456\r\n"), (.host, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n"),
        (.field, "GET / HTTP/1.1\r\n X: y\r\n"), (.field, "GET / HTTP/1.1\r\nX: y\r\n z\r\n"),
        (.field, "GET / HTTP/1.1\r\nX : y\r\n"), (.field, "GET / HTTP/1.1\r\n: y\r\n"),
        (.field, "GET / HTTP/1.1\r\nX\r\n"), (.field, "GET / HTTP/1.1\r\nX\u{80}: y\r\n"),
        (.field, "GET / HTTP/1.1\r\nX: \u{0}\r\n"), (.field, "GET / HTTP/1.1\r\nX: \u{7F}\r\n"),
        (.lineEnding, "GET / HTTP/1.1\r\nX: y\n"), (.lineEnding, "GET / HTTP/1.1\r\nX: y\rz\r\n"),
        (.fieldsTooLarge, "GET / HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 101)),
        (.fieldsTooLarge, "GET / HTTP/1.1\r\nX: " + String(repeating: "y", count: 16384)),
        (.framing, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (.framing, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: +5\r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: -5\r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: \r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: 5 5\r\n"),
        (.framing, "POST / HTTP/1.1\r\nContent-Length: 18446744073709551621\r\n"),
        (.bodyTooLarge, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n"),
        (.framing, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n"),
        (.framing, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked \r\n"),
        (.transferCoding, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        (.expectation, "POST / HTTP/1.1\r\nExpect: 200-ok\r\n"),
    ]

    @Test("refuses what two servers could read in two ways", arguments: refusals.indices)
    func refused(index: Int) {
        let (refusal, text) = Self.refusals[index]
        let bytes = Self.bytes(text)
        let whole = Self.outcome(of: bytes, piece: bytes.count)
        #expect(whole == Outcome(refusal: refusal))
        for piece in [1, 5] { #expect(Self.outcome(of: bytes, piece: piece) == whole) }
    }

    @Test(
        "refuses a chunked body whose end is open",
        arguments: [
            "\r\n", "g\r\n", "0x5\r\n", "-1\r\n", "+5\r\n", " 5\r\n", "5 \r\n", "5\n", "5;a\nb", "5;a\rb",
            "5;\u{0}\r\n",
            "fffffffff\r\n", "5\r\nhello!", "5\r\nhello\n", "5\r\nhello0\r\n\r\n", "5\r\nhel\r\nlo\r\n",
            "0\r\n X: y\r\n",
            "0\r\nX : y\r\n", "0\r\nX: y\n", "0\r\nX: \u{1}", "0\r\n\r\r", "0\r\n\n",
            "0;\(String(repeating: "a", count: 5000))",
            "1;\(String(repeating: "a", count: 2100))\r\nb\r\n1;\(String(repeating: "a", count: 2100))\r\n",
            "0\r\n\(String(repeating: "X: y\r\n", count: 1500))",
        ])
    func chunks(body: String) {
        let head = Self.bytes("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in [1, 10_000] {
            let outcome = Self.outcome(of: head + Self.bytes(body), piece: piece)
            #expect(outcome.refusal == .chunk && outcome.ends == [])
        }
    }

    @Test("bounds a chunked body, which says no length")
    func chunkedBound() {
        let chunk = "10000\r\n" + String(repeating: "a", count: 65536) + "\r\n"
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        let most = Self.bytes(head + String(repeating: chunk, count: 16) + "0\r\n\r\n")
        #expect(Self.outcome(of: most, piece: 65536).ends == [most.count])
        let more = Self.bytes(head + String(repeating: chunk, count: 16) + "1\r\n")
        #expect(Self.outcome(of: more, piece: 65536).refusal == .bodyTooLarge)
        #expect(Self.outcome(of: Self.bytes(head + "ffffffff\r\n"), piece: 10).refusal == .bodyTooLarge)
    }

    @Test(
        "knows which request is a connection's last",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false), ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: te , close\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true),
        ])
    func last(text: String, isLast: Bool) throws {
        var gate = RequestGate()
        let bytes = Self.bytes(text)
        guard case .head(_, let head) = gate.next(bytes.span) else {
            Issue.record("no head")
            return
        }
        #expect(head.isLast == isLast)
    }

    @Test("has a target for each of its refusals that no caller can send", arguments: EdgeRefusal.allCases)
    func words(refusal: EdgeRefusal) {
        #expect(EdgeRefusal(path: refusal.target) == refusal)
        #expect(EdgeRefusal(path: "/" + refusal.rawValue) == nil)
        for method in ["GET", "OPTIONS"] {
            let bytes = Self.bytes("\(method) \(refusal.target) HTTP/1.1\r\n")
            #expect(Self.outcome(of: bytes, piece: bytes.count).refusal == .target)
        }
        #expect((400...505).contains(refusal.rejection.problem.status))
    }
}
