/// Finds where requests begin and end in the bytes of a connection, and refuses whatever two servers could read in two
/// ways: the proxy in front decides where a request ends as well, and where the two differ, one caller's bytes become
/// the beginning of another's request (request smuggling). What passes is a subset of RFC 9112:
///
///     request   = [ CRLF ] method SP target SP "HTTP/1." ( "0" / "1" ) CRLF *( field CRLF ) CRLF body
///     field     = token ":" OWS value OWS         no line folding, no space before the colon, no control but HTAB
///     body      = one Content-Length of digits alone, or the one transfer coding "chunked", never both
///
/// Pure: it holds no bytes. The caller hands it the bytes not yet passed and drops those that a step counts. The HTTP
/// parser behind it (llhttp, which forgives bare LF and more) sees only what has passed.
struct RequestGate {
    enum Step: Equatable {
        /// More bytes are needed. Those handed over come again, with more behind them.
        case wait
        /// The first `length` bytes are a whole head.
        case head(length: Int, RequestHead)
        /// The first `length` bytes belong to the body, which goes on.
        case body(length: Int)
        /// The first `length` bytes end the request.
        case end(length: Int)
        case refused(EdgeRefusal)
    }

    private enum State {
        case head
        case fixed(remaining: Int)
        case chunked(ChunkedBody)
    }

    private let bodyLimit: Int
    private var state = State.head
    private var head = RequestHead()
    /// How many bytes of the head have been looked at, and where the line begins that they end in.
    private var (seen, line) = (0, 0)

    /// - Parameter bodyLimit: how long a body may be, in bytes.
    init(bodyLimit: Int = EdgeLimits.bodyBytes) {
        self.bodyLimit = bodyLimit
    }

    /// Whether a request has begun to pass whose body has not ended.
    var isInBody: Bool {
        if case .head = state { false } else { true }
    }

    /// - Parameter bytes: not empty.
    mutating func next(_ bytes: Span<UInt8>) -> Step {
        switch state {
        case .head:
            return headStep(bytes)
        case .fixed(let remaining):
            guard bytes.count < remaining else {
                state = .head
                return .end(length: remaining)
            }
            state = .fixed(remaining: remaining - bytes.count)
            return .body(length: bytes.count)
        case .chunked(var body):
            let step = body.next(bytes)
            state = .chunked(body)
            if case .end = step { state = .head }
            return step
        }
    }

    /// Each byte is looked at once, however few come at a time.
    private mutating func headStep(_ bytes: Span<UInt8>) -> Step {
        let most = min(bytes.count, EdgeLimits.headBytes)
        var index = seen
        while index < most {
            let byte = bytes[index]
            let followsCR = index > line && bytes[index - 1] == 0x0D
            if byte == 0x0A {
                // A bare LF ends a line for some servers and not for others.
                guard followsCR else { return .refused(.lineEnding) }
                let end = index - 1
                if end > line {
                    if let refusal = take(bytes, line..<end) { return .refused(refusal) }
                } else if head.isBegun {
                    return finish(length: index + 1)
                } else if line > 0 {
                    return .refused(.requestLine)
                }
                line = index + 1
            } else if followsCR {
                return .refused(.lineEnding)
            } else if byte < 0x20 && byte != 0x09 && byte != 0x0D || byte == 0x7F {
                return .refused(head.isBegun ? .field : .requestLine)
            }
            index += 1
        }
        seen = most
        guard bytes.count >= EdgeLimits.headBytes || (!head.isBegun && bytes.count - line > RequestHead.longestLine)
        else { return .wait }
        return .refused(head.isBegun ? .fieldsTooLarge : .targetTooLong)
    }

    private mutating func take(_ bytes: Span<UInt8>, _ line: Range<Int>) -> EdgeRefusal? {
        head.isBegun ? head.takeField(bytes, line) : head.takeRequestLine(bytes, line)
    }

    private mutating func finish(length: Int) -> Step {
        if let refusal = head.finish(bodyLimit: bodyLimit) { return .refused(refusal) }
        let finished = head
        (head, seen, line) = (RequestHead(), 0, 0)
        switch finished.framing {
        case .none: break
        case .fixed(let count): state = .fixed(remaining: count)
        case .chunked: state = .chunked(ChunkedBody(limit: bodyLimit))
        }
        return .head(length: length, finished)
    }
}
