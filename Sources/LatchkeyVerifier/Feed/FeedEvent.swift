internal import JOSE

/// What an event of the stream means.
enum FeedEvent: Sendable, Equatable {
    /// A message's signature; its entries are these and those of the parts before it.
    case message(signature: [UInt8], [FeedEntry])
    case part([FeedEntry])
    /// The node cannot prove that its list is complete.
    case stale
    /// Forget the position.
    case resync
    /// One of a later version.
    case unknown

    init(_ event: ServerSentEvent) throws(FeedFault) {
        switch event.name {
        case "revoked", "lifted", "heartbeat":
            guard let json = (try? JSONValue.parse(event.data))?.object else { throw .malformed }
            var entries: [FeedEntry] = []
            for value in json["entries"]?.array ?? [] {
                guard let entry = FeedEntry(value) else { throw .malformed }
                entries.append(entry)
            }
            guard event.id != nil else {
                self = .part(entries)
                return
            }
            guard let signature = json["signature"]?.string else { throw .cutOff }
            self = .message(signature: Array(signature.utf8), entries)
        case "stale": self = .stale
        case "resync": self = .resync
        default: self = .unknown
        }
    }
}
