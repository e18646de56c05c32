/// One server-sent event.
struct ServerSentEvent: Sendable, Equatable {
    var name = ""
    var data: [UInt8] = []
    /// Nil where it has none: then it does not move the position.
    var id: String?
}

/// Reads server-sent events (HTML Living Standard §9.2.6) piece by piece. Lines may end in LF, CR or CRLF; what has no
/// colon, begins with one, or is of an unknown field is skipped.
struct EventStreamParser {
    /// A message of 500 entries is some 40 KB; a longer one is no message of ours.
    static let longestEvent = 1 << 20

    private var line: [UInt8] = []
    private var event = ServerSentEvent()
    private var hasData = false
    private var size = 0
    private var wasCarriageReturn = false
    private var isFirstLine = true

    /// The events that `piece` completes.
    mutating func feed(_ piece: [UInt8]) throws(FeedFault) -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        var rest = piece[...]
        while !rest.isEmpty {
            if wasCarriageReturn {
                wasCarriageReturn = false
                if rest.first == UInt8(ascii: "\n") {
                    rest = rest.dropFirst()
                    continue
                }
            }
            guard let end = rest.firstIndex(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) else {
                try add(rest)
                break
            }
            try add(rest[..<end])
            wasCarriageReturn = rest[end] == UInt8(ascii: "\r")
            rest = rest[(end + 1)...]
            if let complete = finishLine() { events.append(complete) }
        }
        return events
    }

    private mutating func add(_ bytes: ArraySlice<UInt8>) throws(FeedFault) {
        size += bytes.count
        guard size <= Self.longestEvent else { throw .tooLarge }
        line += bytes
    }

    private mutating func finishLine() -> ServerSentEvent? {
        defer { line.removeAll(keepingCapacity: true) }
        if isFirstLine, line.starts(with: [0xef, 0xbb, 0xbf]) { line.removeFirst(3) }
        isFirstLine = false
        guard !line.isEmpty else { return dispatch() }
        let name = line.prefix { $0 != UInt8(ascii: ":") }
        var value = line.dropFirst(name.count + 1)
        if value.first == 0x20 { value = value.dropFirst() }
        if name.elementsEqual("data".utf8) {
            if hasData { event.data.append(UInt8(ascii: "\n")) }
            event.data += value
            hasData = true
        } else if name.elementsEqual("event".utf8) {
            event.name = String(decoding: value, as: UTF8.self)
        } else if name.elementsEqual("id".utf8), !value.contains(0) {
            event.id = String(decoding: value, as: UTF8.self)
        }
        return nil
    }

    /// An empty line ends an event; one without data is none.
    private mutating func dispatch() -> ServerSentEvent? {
        defer {
            event = ServerSentEvent()
            hasData = false
            size = 0
        }
        return hasData ? event : nil
    }
}
