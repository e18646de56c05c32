package import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// Hummingbird's HTTP/1.1 with a gate on both sides of its parser.
struct EdgeChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    private let inner: HTTP1Channel
    private let limits: EdgeLimits
    private let connections: OpenConnections

    init(_ responder: @escaping HTTPChannelHandler.Responder, limits: EdgeLimits, traffic: EdgeTraffic) {
        self.limits = limits
        connections = OpenConnections(traffic)
        // The gate has counted already; the parser's own limits are the second line.
        let decoder = HTTP1Channel.Configuration.DecoderConfiguration(
            maxHeaderFieldSize: EdgeLimits.headBytes, maxHeaderListSize: 2 * EdgeLimits.headBytes,
            maxHeaderFieldCount: 2 * EdgeLimits.fieldCount)
        inner = HTTP1Channel(responder: responder, configuration: .init(httpDecoderConfiguration: decoder))
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let admission = connections.admit(channel, limits)
        let value = inner.setup(channel: channel, logger: logger)
        // A caller whose machine went without a word would hold an endless answer for a quarter of an hour.
        try? channel.syncOptions?.setOption(.tcpOption(Self.unacknowledged), value: 30_000)
        do {
            let pipeline = channel.pipeline.syncOperations
            let answers = AnswerGate()
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(answers, position: .after(decoder))
            let gate = ConnectionGate(
                limits: limits, admission: admission, ticker: connections.ticker(of: channel.eventLoop, limits),
                answers: answers, traffic: connections.traffic, now: channel.eventLoop.now, logger: logger)
            try pipeline.addHandler(gate, position: .first)
            return value
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
    }

    /// `TCP_USER_TIMEOUT` (tcp(7)): milliseconds for which what was sent may stay unacknowledged.
    private static let unacknowledged = NIOBSDSocket.Option(rawValue: 18)

    func handle(value: Value, logger: Logger) async {
        await inner.handle(value: value, logger: logger)
    }
}

extension HTTPServerBuilder {
    /// HTTP/1.1 with deadlines and limits, behind which a malformed request is never seen.
    /// - Parameter traffic: what it counts in; one of its own where nobody looks.
    package static func edge(_ limits: EdgeLimits, counting traffic: EdgeTraffic = EdgeTraffic()) -> HTTPServerBuilder {
        HTTPServerBuilder { responder in EdgeChannel(responder, limits: limits, traffic: traffic) }
    }
}

/// The connections of one port: how many, and who looks after their deadlines.
private final class OpenConnections: Sendable {
    let traffic: EdgeTraffic
    private let tickers = Mutex<[ObjectIdentifier: NIOLoopBound<EdgeTicker>]>([:])

    init(_ traffic: EdgeTraffic) {
        self.traffic = traffic
    }

    func admit(_ channel: any Channel, _ limits: EdgeLimits) -> ConnectionGate.Admission {
        let open = traffic.opened()
        channel.closeFuture.whenComplete { _ in self.traffic.left() }
        if open <= limits.connections { return .served }
        return open <= limits.connections + limits.connections / 8 ? .answeredOverloaded : .closed
    }

    /// To be called on the event loop.
    func ticker(of eventLoop: any EventLoop, _ limits: EdgeLimits) -> EdgeTicker {
        tickers.withLock { tickers in
            let id = ObjectIdentifier(eventLoop)
            if let ticker = tickers[id] { return ticker.value }
            let ticker = EdgeTicker(eventLoop, interval: limits.tick)
            tickers[id] = NIOLoopBound(ticker, eventLoop: eventLoop)
            return ticker
        }
    }
}
