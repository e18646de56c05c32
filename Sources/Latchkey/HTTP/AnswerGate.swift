import NIOCore
import NIOHTTP1

/// Stands behind the HTTP parser: tells `ConnectionGate` which answers were written, says `Connection: close` with the
/// last one, and hands the router the gate's own refusals. Confined to the connection's event loop.
final class AnswerGate: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    weak var connection: ConnectionGate?
    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    /// The router sees a request that no caller can send (see `EdgeRefusal`), behind those that came before it.
    func ask(for refusal: EdgeRefusal) {
        guard let context else { return }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: refusal.target)
        context.fireChannelRead(NIOAny(HTTPServerRequestPart.head(head)))
        context.fireChannelRead(NIOAny(HTTPServerRequestPart.end(nil)))
        context.fireChannelReadComplete()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.code >= 200:
            if connection?.isLastAnswer == true {
                head.headers.replaceOrAdd(name: "connection", value: "close")
                return context.write(wrapOutboundOut(.head(head)), promise: promise)
            }
            if head.headers.contains(name: "connection") { connection?.closesAfterAnswer() }
            context.write(data, promise: promise)
        case .end:
            guard connection?.answered() == .end else {
                context.write(data, promise: promise)
                connection?.wentOn()
                return
            }
            // Only what the kernel has taken may be followed by a close.
            let written = promise ?? context.eventLoop.makePromise()
            written.futureResult.assumeIsolated().whenComplete { [weak connection] _ in connection?.linger() }
            context.writeAndFlush(data, promise: written)
        default:
            context.write(data, promise: promise)
        }
    }
}
