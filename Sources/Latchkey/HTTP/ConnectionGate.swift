import Logging
import NIOCore

/// Stands between the socket and the HTTP parser: lets whole, valid heads through and their bodies as they come, keeps
/// the deadlines, drains at a shutdown, and closes the connection when no further request is to come. `AnswerGate`
/// stands behind the parser and tells it of the answers. Confined to the connection's event loop.
final class ConnectionGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// What the number of open connections lets a new one do.
    enum Admission { case served, answeredOverloaded, closed }

    private let limits: EdgeLimits
    private let admission: Admission
    private let ticker: EdgeTicker
    private let answers: AnswerGate
    private let logger: Logger

    private var gate = RequestGate()
    private var deadlines: ConnectionDeadlines
    private var context: ChannelHandlerContext?
    /// A request that has not ended, and how much of it the gate has seen. Only whole requests go to the router, but for
    /// bodies too long to be held: who drips one is not under way, and holds neither a task nor one of the places.
    private var held: ByteBuffer?
    private var examined = 0
    /// The head of the request that is held.
    private var awaited: RequestHead?
    /// Requests passed on whose answers have not been written.
    private var owed = 0
    private var takesRequests = true
    private var owesContinue = false
    private var isHalfClosed = false

    init(
        limits: EdgeLimits, admission: Admission, ticker: EdgeTicker, answers: AnswerGate, now: NIODeadline,
        logger: Logger
    ) {
        self.limits = limits
        self.admission = admission
        self.ticker = ticker
        self.answers = answers
        self.logger = logger
        deadlines = ConnectionDeadlines(limits, now: now)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        answers.connection = self
        ticker.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ticker.remove(self)
        answers.connection = nil
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        if admission == .closed { context.close(promise: nil) }
    }

    // MARK: what the caller sends

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        if var held {
            self.held = nil
            held.writeBuffer(&buffer)
            buffer = held
        }
        pass(buffer, context: context)
    }

    /// Passes on whole requests, and of one with a long body what has come of it.
    private func pass(_ buffer: ByteBuffer, context: ChannelHandlerContext) {
        var rest = buffer
        var passed = 0
        reading: while takesRequests || gate.isInBody, examined < buffer.readableBytes {
            if admission == .answeredOverloaded { return refuse(.tooManyConnections, context: context) }
            switch gate.next(buffer.readableBytesUInt8Span.extracting(examined...)) {
            case .wait:
                deadlines.headBegan(now: context.eventLoop.now)
                break reading
            case .head(let length, let head):
                examined += length
                headEnded(head, more: examined < buffer.readableBytes, context: context)
                if awaited == nil { passed = examined }
            case .body(let length):
                examined += length
                deadlines.bodyCame(length)
                if examined - passed > EdgeLimits.heldBytes { passOn() }
                if awaited == nil { passed = examined }
            case .end(let length):
                examined += length
                passOn()
                passed = examined
                deadlines.requestEnded(owed: owed, now: context.eventLoop.now)
            case .refused(let refusal):
                forward(&rest, passed, context: context)
                return refuse(refusal, context: context)
            }
        }
        examined = max(0, examined - passed)
        forward(&rest, passed, context: context)
        // What follows a last request is dropped.
        if rest.readableBytes > 0, takesRequests || gate.isInBody { held = rest } else { examined = 0 }
    }

    private func headEnded(_ head: RequestHead, more: Bool, context: ChannelHandlerContext) {
        let ahead = owed
        awaited = head
        switch head.framing {
        case .none:
            passOn()
            deadlines.requestEnded(owed: owed, now: context.eventLoop.now)
        case .fixed(let length) where length > EdgeLimits.heldBytes:
            passOn()
            deadlines.bodyBegan(now: context.eventLoop.now)
        case .fixed, .chunked:
            deadlines.bodyBegan(now: context.eventLoop.now)
        }
        guard head.wantsContinue, !more else { return }
        // Leave to go on would be read as a part of an earlier answer that is under way.
        if ahead == 0 { sayContinue(context: context) } else { owesContinue = true }
    }

    /// The request whose head has come goes to the router.
    private func passOn() {
        guard let head = awaited else { return }
        awaited = nil
        owed += 1
        if head.isLast { takesRequests = false }
    }

    private func sayContinue(context: ChannelHandlerContext) {
        owesContinue = false
        context.writeAndFlush(wrapOutboundOut(.byteBuffer(Self.continuation)), promise: nil)
    }

    private static let continuation = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")

    /// - Parameter rest: left without the first `length` bytes.
    private func forward(_ rest: inout ByteBuffer, _ length: Int, context: ChannelHandlerContext) {
        guard length > 0, let slice = rest.readSlice(length: length) else { return }
        context.fireChannelRead(wrapInboundOut(slice))
    }

    /// Nothing that follows is read. The route that reads a long body learns why; else the router answers in its turn.
    private func refuse(_ refusal: EdgeRefusal, context: ChannelHandlerContext) {
        let wasInBody = gate.isInBody && awaited == nil
        forget()
        deadlines.lastAnswersAwaited(now: context.eventLoop.now)
        if wasInBody {
            context.fireErrorCaught(refusal.rejection)
        } else {
            owed += 1
            answers.ask(for: refusal)
        }
    }

    /// Whatever has come of a further request.
    private func forget() {
        takesRequests = false
        gate = RequestGate()
        held = nil
        examined = 0
        awaited = nil
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        // Nobody else reads on any more; what comes is dropped, up to the caller's own end.
        if deadlines.isLingering { context.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            // Not passed on: Hummingbird's handler would close without a word to the caller.
            return drain(context: context)
        case ChannelEvent.inputClosed:
            isHalfClosed = true
            // A route that waits for the rest would wait for ever, and the parser's own error has no face.
            if gate.isInBody { refuse(.cutOff, context: context) }
            forget()
            context.fireUserInboundEventTriggered(event)
            if owed == 0 { context.close(promise: nil) }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: what is answered

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        deadlines.wrote(unwrapOutboundIn(data).readableBytes)
        context.write(data, promise: promise)
    }

    /// Whether the answer that is about to be written is the connection's last. It may come before the body's end.
    var isLastAnswer: Bool { owed <= 1 && !takesRequests }

    /// An answer says itself that it is the last: requests behind it are dropped.
    func closesAfterAnswer() {
        takesRequests = false
        owed = 1
    }

    enum AfterAnswer { case goOn, end }

    /// An answer is about to be written to its end.
    func answered() -> AfterAnswer {
        owed = max(0, owed - 1)
        guard owed == 0, let context else { return .goOn }
        if takesRequests {
            deadlines.allAnswered(now: context.eventLoop.now)
            return .goOn
        }
        forget()
        return .end
    }

    /// An answer was written to its end, and is not the last.
    func wentOn() {
        if owesContinue, owed == (awaited == nil ? 1 : 0), let context { sayContinue(context: context) }
    }

    /// The last answer is with the kernel: half a close, then the caller's turn.
    func linger() {
        guard let context else { return }
        deadlines.lingers(now: context.eventLoop.now)
        if isHalfClosed {
            context.close(promise: nil)
        } else {
            context.close(mode: .output, promise: nil)
            context.read()
        }
    }

    // MARK: time

    private func drain(context: ChannelHandlerContext) {
        takesRequests = false
        deadlines.drains(now: context.eventLoop.now)
        // A body that is on its way is under way.
        if owed == 0, !gate.isInBody { context.close(promise: nil) }
    }

    func tick(now: NIODeadline) {
        guard let context else { return }
        // Asked for only where an answer may still be on its way.
        let waiting = deadlines.mayBeWriting ? Self.waiting(context.channel) : 0
        switch deadlines.overdue(now: now, waiting: waiting) {
        case nil: return
        case .request: refuse(.timeout, context: context)
        case .connection(let reason):
            logger.debug("connection closed", metadata: ["reason": .string(reason.rawValue)])
            context.close(promise: nil)
        }
    }

    /// The bytes of answers that the kernel has not taken.
    private static func waiting(_ channel: any Channel) -> Int {
        (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }
}
