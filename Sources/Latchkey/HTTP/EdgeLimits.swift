package import NIOCore

/// What a connection may cost before it is refused or closed. The times are the operator's to know and nobody's to set;
/// tests shorten them.
package struct EdgeLimits: Sendable {
    /// A request's target: 414 past it.
    static let targetBytes = 8 * 1024
    /// The request line and all header fields: 431 past it.
    static let headBytes = 16 * 1024
    static let fieldCount = 100
    /// What a connection takes of a body unless told, whether a route reads it or not; a route's own limit is smaller.
    static let bodyBytes = 1024 * 1024

    /// What is held of a request's body until it is whole: as much as any route reads where it says nothing else.
    static let heldBytes = 16 * 1024

    /// From a head's first byte, or from the connection's beginning, to its end.
    package var head: TimeAmount = .seconds(10)
    /// From a head's end to the body's end.
    package var body: TimeAmount = .seconds(30)
    /// After so long a body must have come, or an answer have been taken, at `leastRate` on average.
    package var pause: TimeAmount = .seconds(10)
    /// In bytes per second.
    package var leastRate = 500
    /// Between an answer and the next request.
    package var idle: TimeAmount = .seconds(75)
    /// For the answers still owed when nothing more is read, before the connection is closed over them.
    package var lastAnswers: TimeAmount = .seconds(30)
    /// After the last answer, for the caller to read it and close: closing at once would reset the connection under
    /// what the caller still sends, and the answer would be lost (RFC 9112 §9.6).
    package var linger: TimeAmount = .seconds(2)
    /// For what is under way at a shutdown. `latchkey serve` ends within 10 seconds: this and a tick, then the management
    /// port's second and a tick, then what the services behind them still have to write.
    package var drain: TimeAmount = .milliseconds(6500)
    /// What a connection takes of a body, in bytes; for who hands bodies on.
    package var bodyLimit = EdgeLimits.bodyBytes
    /// How often deadlines are looked at.
    package var tick: TimeAmount = .milliseconds(500)

    /// Open connections of one port; past it a request is answered 503, past an eighth more a connection is closed as
    /// it comes.
    package var connections = 10_000
    /// Requests under way at once on one port; past it 503.
    package var requests = 2_000

    package init() {}
}
