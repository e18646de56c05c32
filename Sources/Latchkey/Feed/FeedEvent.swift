import JOSE

/// Events of the stream (HTML Living Standard §9.2), each of one `event:` line, at most one `id:` line, one `data:` line:
/// JSON holds no line end.
enum FeedEvent {
    /// A message: parts, and behind them the one event that has its `id`.
    static func message(_ message: FeedMessage, by source: FeedSource) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for piece in message.entries.pieces.dropLast() { bytes += part(piece) }
        return bytes + (try end(of: message, by: source))
    }

    /// Entries of a message whose end is yet to come.
    static func part(_ piece: [UInt8]) -> [UInt8] {
        var data = Array("{\"entries\":[".utf8)
        EntryForm.appendJSON(piece, to: &data)
        return event(name(piece), id: nil, data: data + Array("]}".utf8))
    }

    /// The message with the last of its pieces.
    static func end(of message: FeedMessage, by source: FeedSource) throws -> [UInt8] {
        let signed = try message.signed(by: source)
        let piece = message.entries.pieces.last
        var data = signed.jsonStart
        if let piece { EntryForm.appendJSON(piece, to: &data) }
        data += signed.jsonEnd
        return event(piece.map { name($0) } ?? "heartbeat", id: message.position, data: data)
    }

    /// The node cannot prove that its list is complete.
    static func stale(_ claim: RevocationList.Claim?, by source: FeedSource) -> [UInt8] {
        let data = JSONObject([
            ("node", .string(source.node.text)),
            ("as_of", claim.map { .integer($0.asOf.nanoseconds / 1_000_000) }),
            ("now", .integer(BootInstant.now().nanoseconds / 1_000_000)),
        ])
        return event("stale", id: nil, data: data.encoded())
    }

    enum Reason: String { case start, history }

    static func resync(_ reason: Reason) -> [UInt8] {
        event("resync", id: nil, data: Array("{\"reason\":\"\(reason.rawValue)\"}".utf8))
    }

    /// Before the first event: milliseconds after which a browser connects again.
    static let retry = Array("retry: 1000\n".utf8)

    /// A piece holds either lifts alone or none.
    private static func name(_ piece: [UInt8]) -> String {
        piece.first.map { EntryForm.isLift($0) } == true ? "lifted" : "revoked"
    }

    private static func event(_ name: String, id: FeedPosition?, data: [UInt8]) -> [UInt8] {
        var bytes = Array("event: \(name)\n".utf8)
        if let id { bytes += "id: \(id.word)\n".utf8 }
        bytes += "data: ".utf8
        bytes += data
        bytes += "\n\n".utf8
        return bytes
    }
}
