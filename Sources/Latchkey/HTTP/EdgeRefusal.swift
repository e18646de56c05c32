/// Why a connection's bytes are refused before they are a request that the router could see.
///
/// The gate answers by handing the router a request that no caller can send: its target is `*` and one of these words,
/// and the gate lets nobody's target through that begins with `*` and goes on. So `ErrorMiddleware` gives these
/// refusals the same face, request id and log line as every other, and they wait for their turn behind the answers
/// still owed on the connection.
package enum EdgeRefusal: String, Error, Sendable, CaseIterable {
    case requestLine = "request-line"
    case target = "target"
    case targetTooLong = "target-too-long"
    case version = "version"
    case method = "method"
    case lineEnding = "line-ending"
    case field = "field"
    case fieldsTooLarge = "fields-too-large"
    case host = "host"
    case framing = "framing"
    case transferCoding = "transfer-coding"
    case chunk = "chunk"
    case expectation = "expectation"
    case bodyTooLarge = "body-too-large"
    case timeout = "timeout"
    case cutOff = "cut-off"
    case tooManyConnections = "too-many-connections"

    var target: String { "*" + rawValue }

    /// - Parameter path: of a request; nil where it is not one of the gate's own.
    init?(path: String) {
        guard path.utf8.first == UInt8(ascii: "*") else { return nil }
        self.init(rawValue: String(path.dropFirst()))
    }

    /// The status of what stands in place of a refused request, for a port that has no `ErrorMiddleware`.
    package static func status(ofTarget target: String) -> Int? {
        EdgeRefusal(path: target)?.rejection.problem.status
    }

    var rejection: Rejection {
        switch self {
        case .requestLine:
            .invalidRequest(description: "The request line is not: method, target, HTTP/1.1, one space between.")
        case .target:
            .invalidRequest(description: "Mend the request target: characters, percent-encoding, no user, no fragment.")
        case .targetTooLong: .targetTooLong
        case .version: .versionNotSupported
        case .method: .methodNotImplemented
        case .lineEnding:
            .invalidRequest(description: "End every line of the head with CR LF, and use CR nowhere else.")
        case .field: .invalidRequest(description: "A header field is malformed.")
        case .fieldsTooLarge: .fieldsTooLarge
        case .host: .invalidRequest(description: "Send one Host field with a host and perhaps a port.")
        case .framing:
            .invalidRequest(
                description: "Say the body's length once: Content-Length in digits, or chunked, never both.")
        case .transferCoding: .codingNotImplemented
        case .chunk: .invalidRequest(description: "The chunked body is malformed.")
        case .expectation: .expectationFailed
        case .bodyTooLarge: .bodyTooLarge(limit: nil)
        case .timeout: .requestTimeout
        case .cutOff: .invalidRequest(description: "The connection ended before the request did.")
        case .tooManyConnections: .overloaded(retryAfter: 1)
        }
    }
}
