/// What no server should take, and what looks so and is sound. From RFC 9110, RFC 9112 and RFC 3986 by section, and from
/// published research, named at the rows: PortSwigger's HTTP desync research (Kettle: "HTTP Desync Attacks" 2019,
/// "HTTP/1 must die" 2025), its header obfuscations, Weikop's "Funky chunks" (2025), and the parsing lists of
/// narfindustries' HTTP Garden (2024). Two kinds of row are refused with a 5xx because the standard asks for that one: a
/// version that is not spoken here with 505 (RFC 9110 §15.6.6), and a method or transfer coding that nobody here knows with
/// 501 (RFC 9110 §9.1, RFC 9112 §6.1).
enum MalformedRequests {
    struct Row: Sendable {
        let name: String
        let bytes: [UInt8]
        let expected: Expected
    }

    enum Expected: Sendable {
        /// One of these and no further answer, or the connection is closed without one.
        case refused(Set<Int>)
        /// One of these, and the next request is answered too where the connection goes on.
        case answered(Set<Int>)
    }

    /// Each character is a byte.
    private static func refused(_ name: String, _ text: String, _ statuses: Int...) -> Row {
        let statuses = statuses.isEmpty ? [400] : Set(statuses)
        return Row(name: name, bytes: text.unicodeScalars.map { UInt8($0.value) }, expected: .refused(statuses))
    }

    private static func answered(_ name: String, _ text: String, _ statuses: Int...) -> Row {
        Row(name: name, bytes: text.unicodeScalars.map { UInt8($0.value) }, expected: .answered(Set(statuses)))
    }

    /// Shows in an answer where it was taken for a request.
    private static let smuggled = "GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"

    private static func get(_ target: String) -> String { "GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n" }

    private static func field(_ lines: String) -> String { "GET /livez HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n" }

    /// A POST whose body is chunked for whoever believes `lines`, and so long by Content-Length for whoever does not.
    private static func post(_ lines: String, _ body: String = "0\r\n\r\n" + smuggled) -> String {
        "POST /oauth2/revoke HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\(lines)\r\n\r\n\(body)"
    }

    private static func chunked(_ body: String) -> String { post("Transfer-Encoding: chunked", body) }

    private static func json(_ body: String, _ lines: String = "") -> String {
        "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\(lines)Content-Length: "
            + "\(body.unicodeScalars.count)\r\n\r\n\(body)"
    }

    static let all = requestLines + targets + fields + lengths + codings + chunks + bodies

    // RFC 9112 §2.2, §2.3 and §3; HTTP Garden.
    private static let requestLines: [Row] = [
        refused("bare LF everywhere", "GET /livez HTTP/1.1\nHost: a\n\n"),
        refused("bare LF behind the request line", "GET /livez HTTP/1.1\nHost: a\r\n\r\n"),
        refused("bare CR as a line's end", "GET /livez HTTP/1.1\rHost: a\r\r"),
        refused("CR CR LF", "GET /livez HTTP/1.1\r\r\nHost: a\r\n\r\n"),
        refused("NUL in the method", "GE\u{0}T /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("NUL in the target", "GET /liv\u{0}ez HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("a space before the method", " " + get("/livez")),
        refused("two spaces", "GET  /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("tabs for spaces", "GET\t/livez\tHTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("a space behind the version", "GET /livez HTTP/1.1 \r\nHost: a\r\n\r\n"),
        refused("HTTP/0.9 as it was", "GET /livez\r\n"),
        refused("HTTP/0.9 by name", "GET /livez HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        refused("http in small letters", "GET /livez http/1.1\r\nHost: a\r\n\r\n"),
        refused("HTTP/1.2", "GET /livez HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        refused("HTTP/2.0", "GET /livez HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        refused("HTTP/11.1", "GET /livez HTTP/11.1\r\nHost: a\r\n\r\n"),
        refused("HTTP/1", "GET /livez HTTP/1\r\nHost: a\r\n\r\n"),
        // RFC 9113 §3.4.
        refused("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        // RFC 8446 §4.1.2: a handshake record, a client hello.
        refused(
            "TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{FC}\u{3}\u{3}" + String(repeating: "\u{AB}", count: 500)
        ),
        refused("SSH", "SSH-2.0-OpenSSH_9.2\r\n"),
        refused("PROXY protocol", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get("/livez")),
        refused("a method in small letters", "get /livez HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        refused("a method of nobody's", "BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        refused("a method that is no token", "G{T /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused(
            "a method of 9,000 letters", String(repeating: "G", count: 9000) + " / HTTP/1.1\r\n\r\n", 400, 414, 501),
        refused("CONNECT", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n" + smuggled, 501),
        refused("empty lines and no more", "\r\n\r\n\r\n"),
        refused(
            "random bytes",
            String((0..<256).map { Character(Unicode.Scalar(UInt8(truncatingIfNeeded: $0 * 167 + 13))) })),
        // What follows it is read as its last field and the next one, a second Host.
        refused("a head that does not end", "GET /livez HTTP/1.1\r\nHost: a\r\nX: "),
        answered("one empty line before", "\r\n" + get("/livez"), 200),
        answered("TRACE", "TRACE /livez HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        answered("HTTP/1.0 without Host", "GET /livez HTTP/1.0\r\n\r\n", 200),
    ]

    // RFC 9112 §3.2, RFC 3986 §2 to §3; Unicode's overlong forms (RFC 3629 §10).
    private static let targets: [Row] = [
        refused("a space in the target", get("/liv ez")), refused("a fragment", get("/livez#a")),
        refused("a back-slash", get("/..\\livez")), refused("raw UTF-8", get("/\u{C3}\u{A9}")),
        refused("a percent sign alone", get("/livez%")), refused("a percent sign before no digits", get("/%zz")),
        refused("NUL, encoded", get("/livez%00.json")), refused("CR LF, encoded", get("/livez%0d%0aX:%20y")),
        refused("no slash", get("livez")), refused("an asterisk to GET", get("*")),
        refused("an asterisk and a word", "OPTIONS *timeout HTTP/1.1\r\nHost: a\r\n\r\n"),
        refused("a user in an absolute target", get("http://admin@a/livez")),
        refused("an absolute target without a host", get("http:///livez")),
        refused("another scheme", get("file:///etc/passwd")), refused("an open bracket", get("http://[::1/livez")),
        refused("9 KiB of target", get("/" + String(repeating: "a", count: 9216)), 414),
        refused("1 MiB of target", get("/" + String(repeating: "a", count: 1 << 20)), 414),
        answered("an absolute target of another host", get("http://evil.example/livez"), 200),
        answered("overlong dots", get("/%c0%ae%c0%ae/livez"), 404),
        answered("an encoded slash", get("/a%2flivez"), 404),
        answered("encoded dots", get("/%2e%2e/livez"), 404), answered("dots", get("/../livez"), 404),
        answered("two slashes", get("//livez"), 200, 404), answered("a query of anything", get("/livez?a={|}^`"), 200),
    ]

    // RFC 9112 §5, RFC 9110 §5.5 and §7.2; Kettle 2025 (Expect), HTTP Garden.
    private static let fields: [Row] = [
        refused("no Host", "GET /livez HTTP/1.1\r\n\r\n"), refused("two Hosts", field("Host: b")),
        refused("the same Host twice", field("Host: a")),
        refused("an empty Host", "GET /livez HTTP/1.1\r\nHost:\r\n\r\n"),
        refused("a Host with a space", "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n"),
        refused("a Host with a user", "GET /livez HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        refused("a Host with a path", "GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        refused("two Hosts in one", "GET /livez HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        refused("a Host whose port is none", "GET /livez HTTP/1.1\r\nHost: a:80a\r\n\r\n"),
        refused("a space before the colon", field("X : y")), refused("a tab before the colon", field("X\t: y")),
        refused("a folded line", field("X: y\r\n z")),
        refused("a fold before any field", "GET /livez HTTP/1.1\r\n Host: a\r\n\r\n"),
        refused("no colon", field("X")), refused("no name", field(": y")),
        refused("a space in a name", field("X Y: z")),
        refused("a name beyond ASCII", field("X\u{E9}: y")), refused("NUL in a value", field("X: a\u{0}b")),
        refused("NUL in a name", field("X\u{0}: y")), refused("a control in a value", field("X: \u{1}")),
        refused("DEL in a value", field("X: \u{7F}")), refused("bare CR in a value", field("X: y\rZ: w")),
        refused("bare LF in a value", field("X: y\nTransfer-Encoding: chunked")),
        refused("10,000 fields", field((0..<10_000).map { "X-\($0): y" }.joined(separator: "\r\n")), 431),
        refused("101 small fields", field((0..<100).map { "A\($0): b" }.joined(separator: "\r\n")), 431),
        refused("a field of 17 KiB", field("X: " + String(repeating: "y", count: 17 * 1024)), 431),
        refused("a field of 1 MiB", field("X: " + String(repeating: "y", count: 1 << 20)), 431),
        refused("a field name of 1 MiB", field(String(repeating: "y", count: 1 << 20)), 431),
        refused("another expectation", field("Expect: the-spanish-inquisition"), 417),
        answered("obs-text in a value", field("X: \u{E9}"), 200),
        answered("an upgrade to WebSocket", field("Connection: Upgrade\r\nUpgrade: websocket"), 200),
        answered(
            "an upgrade to h2c", field("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"), 200
        ),
    ]

    // RFC 9112 §6.2 and §6.3, RFC 9110 §8.6.
    private static let lengths: [Row] = [
        refused("a length with a plus", post("Content-Length: +5", "a=b&c")),
        refused("a length below nothing", post("Content-Length: -1", "")),
        refused("a length in words", post("Content-Length: five", "a=b&c")),
        refused("a length with a space", post("Content-Length: 1 0", "a=b&c=d&ef")),
        refused("a length in hexadecimal", post("Content-Length: 0x5", "a=b&c")),
        refused("a length with a point", post("Content-Length: 5.0", "a=b&c")),
        refused("a length with an exponent", post("Content-Length: 1e1", "a=b&c=d&ef")),
        refused("a list of lengths", post("Content-Length: 5, 5", "a=b&c")),
        refused("an empty length", post("Content-Length:", smuggled)),
        refused("a vertical tab before a length", post("Content-Length: \u{B}5", "a=b&c")),
        refused("digits beyond ASCII", post("Content-Length: \u{D9}\u{A5}", "a=b&c")),
        refused("a length beyond 64 bits", post("Content-Length: 18446744073709551621", "a=b&c")),
        refused("the longest length of 64 bits", post("Content-Length: 9223372036854775807", "a=b&c"), 400, 413),
        refused("2 MiB of length", post("Content-Length: 2097152", ""), 413),
        refused("a length twice", post("Content-Length: 5\r\nContent-Length: 5", "a=b&c")),
        refused("two lengths", post("Content-Length: 5\r\nContent-Length: 0", smuggled)),
        refused("a space before a length's colon", post("Content-Length : \(smuggled.utf8.count)", smuggled)),
        refused("less body than its length", post("Content-Length: 500", "token=x"), 408),
        answered("a length of zeros before", post("Content-Length: 007", "token=x"), 200),
        answered("a length of nothing to GET", field("Content-Length: 0"), 200),
        answered(
            "a body to GET",
            "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: \(smuggled.utf8.count)\r\n\r\n\(smuggled)", 200),
        answered(
            "a body to a path that is none",
            "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: \(smuggled.utf8.count)\r\n\r\n\(smuggled)", 404),
    ]

    // CL.TE, TE.CL, TE.TE: Kettle 2019 and PortSwigger's list of obfuscations; RFC 9112 §6.1.
    private static let codings: [Row] = [
        refused("CL.TE", post("Content-Length: \(5 + smuggled.utf8.count)\r\nTransfer-Encoding: chunked")),
        refused("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", "5c\r\n\(smuggled)\r\n0\r\n\r\n")),
        refused("CL.TE with a length of nothing", post("Content-Length: 0\r\nTransfer-Encoding: chunked")),
        refused("xchunked", post("Transfer-Encoding: xchunked")),
        refused("chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        refused("chunked, then a cow", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow")),
        refused("identity, then chunked", post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked")),
        refused("chunked, identity", post("Transfer-Encoding: chunked, identity")),
        refused("chunked, chunked", post("Transfer-Encoding: chunked, chunked")),
        refused("gzip, chunked", post("Transfer-Encoding: gzip, chunked"), 501),
        refused("gzip alone", post("Transfer-Encoding: gzip")),
        refused("identity", post("Transfer-Encoding: identity")),
        refused("a space before the coding's colon", post("Transfer-Encoding : chunked")),
        refused("a folded coding", post("Transfer-Encoding:\r\n chunked")),
        refused("a space before the coding's name", post("X: y\r\n Transfer-Encoding: chunked")),
        refused("a coding behind a bare LF", post("X: y\nTransfer-Encoding: chunked")),
        refused("a coding behind a bare CR", post("X: y\rTransfer-Encoding: chunked")),
        refused("a vertical tab before the coding", post("Transfer-Encoding: \u{B}chunked")),
        refused("NUL behind the coding", post("Transfer-Encoding: chunked\u{0}")),
        refused("a quoted coding", post("Transfer-Encoding: \"chunked\"")),
        refused("a coding with a parameter", post("Transfer-Encoding: chunked;q=1")),
        refused("a coding with a comma", post("Transfer-Encoding: chunked,")),
        refused("an empty coding", post("Transfer-Encoding:")),
        refused(
            "a coding in HTTP/1.0", "POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled),
        // Another field: the length counts, and what looks like a request is the body.
        answered(
            "an underscore for the hyphen",
            post("Transfer_Encoding: chunked\r\nContent-Length: \(5 + smuggled.utf8.count)"), 400),
        answered("a coding in any letters", post("tRANSFER-eNCODING:\tcHUNKED", "7\r\ntoken=x\r\n0\r\n\r\n"), 200),
        refused("white space behind the coding", post("Transfer-Encoding: chunked \t")),
    ]

    // RFC 9112 §7.1; Weikop 2025 (TERM.EXT, EXT.TERM, TERM.SPILL, SPILL.TERM), HTTP Garden.
    private static let chunks: [Row] = [
        refused("a chunk size of no digit", chunked("g\r\n")),
        refused("a chunk size of nothing", chunked("\r\n" + smuggled)),
        refused("a chunk size with 0x", chunked("0x7\r\ntoken=x\r\n0\r\n\r\n")),
        refused("a chunk size with a plus", chunked("+7\r\ntoken=x\r\n0\r\n\r\n")),
        refused("a chunk size below nothing", chunked("-7\r\ntoken=x\r\n0\r\n\r\n")),
        refused("a space before a chunk size", chunked(" 7\r\ntoken=x\r\n0\r\n\r\n")),
        refused("a space behind a chunk size", chunked("7 \r\ntoken=x\r\n0\r\n\r\n")),
        refused("a chunk size beyond 32 bits", chunked("100000007\r\ntoken=x\r\n0\r\n\r\n")),
        refused("a chunk size beyond 64 bits", chunked("10000000000000007\r\ntoken=x\r\n0\r\n\r\n")),
        refused("a chunk of 4 GiB", chunked("ffffffff\r\ntoken=x"), 413),
        refused("bare LF behind a chunk size", chunked("7\ntoken=x\r\n0\r\n\r\n")),
        refused("bare LF in an extension", chunked("7;\ntoken=x\r\n0\r\n\r\n" + smuggled)),
        refused("bare CR in an extension", chunked("7;\rtoken=x\r\n0\r\n\r\n" + smuggled)),
        refused("NUL in an extension", chunked("7;a\u{0}\r\ntoken=x\r\n0\r\n\r\n")),
        refused(
            "an extension of 8 KiB", chunked("7;" + String(repeating: "a", count: 8192) + "\r\ntoken=x\r\n0\r\n\r\n")),
        refused("bare LF behind a chunk", chunked("7\r\ntoken=x\n0\r\n\r\n")),
        refused("two bytes for CR LF behind a chunk", chunked("7\r\ntoken=xXX0\r\n\r\n" + smuggled)),
        refused("more data than the chunk's size", chunked("5\r\ntoken=x\r\n0\r\n\r\n")),
        refused("bare LF at the end", chunked("7\r\ntoken=x\r\n0\r\n\n" + smuggled)),
        refused("no CR LF at the end", chunked("7\r\ntoken=x\r\n0\r\n"), 408, 400),
        refused("a trailer with a space before its colon", chunked("0\r\nX : y\r\n\r\n")),
        refused("a folded trailer", chunked("0\r\nX: y\r\n z\r\n\r\n")),
        refused("a request for a trailer", chunked("0\r\n" + smuggled)),
        refused("1,000 trailers", chunked("0\r\n" + String(repeating: "X: yyy\r\n", count: 1000) + "\r\n")),
        answered("an extension", chunked("7;a=\"b\"\r\ntoken=x\r\n0;c\r\n\r\n"), 200),
        answered("a trailer", chunked("7\r\ntoken=x\r\n0\r\nX: y\r\n\r\n"), 200),
        answered("a length for a trailer", chunked("7\r\ntoken=x\r\n0\r\nContent-Length: 90\r\n\r\n"), 200, 400),
    ]

    // RFC 8259, RFC 3629, RFC 9110 §8.4.
    private static let bodies: [Row] = [
        answered("JSON of 17 KiB", json("{\"a\":\"" + String(repeating: "a", count: 17 * 1024) + "\"}"), 413),
        answered("JSON 8,000 deep", json(String(repeating: "[", count: 8000)), 400),
        answered("objects 2,000 deep", json(String(repeating: "{\"a\":", count: 2000)), 400),
        answered("duplicate keys", json(#"{"username":"a","username":"b","password":"correct horse"}"#), 400),
        answered("a byte order mark", json("\u{EF}\u{BB}\u{BF}{}"), 400), answered("UTF-16", json("{\u{0}}\u{0}"), 400),
        answered("invalid UTF-8", json("{\"username\":\"\u{C0}\u{AE}\"}"), 400),
        answered("NUL in JSON", json(#"{"username":"\u0000","password":"correct horse"}"#), 400),
        answered(
            "a number of 10,000 digits", json("{\"username\":" + String(repeating: "9", count: 10_000) + "}"), 400),
        answered("gzip", json("\u{1F}\u{8B}\u{8}\u{0}", "Content-Encoding: gzip\r\n"), 415),
        answered("no JSON", json("<xml/>"), 400), answered("nothing", json(""), 400),
        answered("a parameter twice", post("Content-Length: 15", "token=a&token=b"), 400),
        answered("NUL in a form", post("Content-Length: 9", "token=%00"), 400),
    ]
}
