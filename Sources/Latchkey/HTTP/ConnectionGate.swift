import Logging
import NIOCore

/// Stands between the socket and the HTTP parser: lets valid requests through one at a time, keeps the deadlines, tells
/// who asked when the caller hangs up, drains at a shutdown, and closes the connection when no further request is to come.
/// `AnswerGate` stands behind the parser and tells it of the answers. Confined to the connection's event loop.
final class ConnectionGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// What the number of open connections lets a new one do.
    enum Admission { case served, answeredOverloaded, closed }

    private let admission: Admission
    private let ticker: EdgeTicker
    private let answers: AnswerGate
    private let traffic: EdgeTraffic
    private let logger: Logger
    private var gate: RequestGate
    private var deadlines: ConnectionDeadlines
    private var context: ChannelHandlerContext?
    /// What has not been passed on, and how much of it the gate has seen. Only whole requests go to the router, but for
    /// bodies too long to be held: who drips one is not under way, and holds neither a task nor one of the places.
    private var held: ByteBuffer?
    private var examined = 0
    /// The head of the request that is held, and how many bytes of its body have come.
    private var awaited: RequestHead?
    private var heldBody = 0
    /// Requests passed on whose answers have not been written: at most one. What follows it waits, because its answer may
    /// be the connection's last: then nothing behind it has been seen by anyone, and may be sent again (RFC 9112 §9.6).
    private var owed = 0
    private var takesRequests = true
    private var isHalfClosed = false
    private var isReadingWithheld = false
    /// Told when the caller hangs up before the answer that is owed.
    private var hangUp: (@Sendable () -> Void)?

    init(
        limits: EdgeLimits, admission: Admission, ticker: EdgeTicker, answers: AnswerGate, traffic: EdgeTraffic,
        now: NIODeadline, logger: Logger
    ) {
        self.admission = admission
        self.ticker = ticker
        self.answers = answers
        self.traffic = traffic
        self.logger = logger
        gate = RequestGate(bodyLimit: limits.bodyLimit)
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
        callerHungUp()
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        if admission == .closed { close(.tooMany, context: context) }
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

    /// Whether what comes next is looked at: the rest of a request, or a new one where no answer is owed.
    private var isReading: Bool { gate.isInBody || takesRequests && owed == 0 }

    /// Passes on a whole request, or of one with a long body what has come of it.
    private func pass(_ buffer: ByteBuffer, context: ChannelHandlerContext) {
        var rest = buffer
        var passed = 0
        reading: while isReading, examined < buffer.readableBytes {
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
                heldBody += length
                if heldBody > EdgeLimits.heldBytes { passOn() }
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
        awaited = head
        heldBody = 0
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
        if head.wantsContinue, !more {
            context.writeAndFlush(wrapOutboundOut(.byteBuffer(Self.continuation)), promise: nil)
        }
    }

    private static let continuation = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")

    /// The request whose head has come goes to the router.
    private func passOn() {
        guard let head = awaited else { return }
        awaited = nil
        owed += 1
        if head.isLast { takesRequests = false }
    }

    /// - Parameter rest: left without the first `length` bytes.
    private func forward(_ rest: inout ByteBuffer, _ length: Int, context: ChannelHandlerContext) {
        if length > 0, let slice = rest.readSlice(length: length) { context.fireChannelRead(wrapInboundOut(slice)) }
    }

    /// Nothing that follows is read. The route that reads a long body learns why; else the router answers in its turn.
    private func refuse(_ refusal: EdgeRefusal, context: ChannelHandlerContext) {
        traffic.refused.add(refusal)
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

    /// Whoever sends on and on behind a request that is under way is read no further. (That they hang up is seen all the
    /// same: the kernel tells of it, and what they had sent by then is read with it.)
    func read(context: ChannelHandlerContext) {
        isReadingWithheld = !isReading && (held?.readableBytes ?? 0) >= EdgeLimits.heldBytes
        if !isReadingWithheld { context.read() }
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
            callerHungUp()
            // Whole requests may be held behind the answer that is owed.
            if held == nil || isReading { endInput(context: context) }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// Nothing more comes, and all that was whole has been passed on.
    private func endInput(context: ChannelHandlerContext) {
        // A route that waits for the rest would wait for ever, and the parser's own error has no face.
        if gate.isInBody { refuse(.cutOff, context: context) }
        forget()
        context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        if owed == 0 { context.close(promise: nil) }
    }

    /// `told` is called once if the caller hangs up, or shuts down the sending half, before the answer that is owed.
    func watchCaller(_ told: @escaping @Sendable () -> Void) {
        if isHalfClosed || context == nil { told() } else { hangUp = told }
    }

    private func callerHungUp() {
        hangUp?()
        hangUp = nil
    }

    // MARK: what is answered

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        deadlines.wrote(unwrapOutboundIn(data).readableBytes)
        context.write(data, promise: promise)
    }

    /// Whether the answer that is about to be written is the connection's last. It may come before the body's end.
    var isLastAnswer: Bool { !takesRequests }

    /// An answer says itself that it is the last: what follows is dropped.
    func closesAfterAnswer() { takesRequests = false }

    enum AfterAnswer { case goOn, end }

    /// An answer is about to be written to its end.
    func answered() -> AfterAnswer {
        owed = 0
        hangUp = nil
        guard let context else { return .goOn }
        if takesRequests {
            deadlines.allAnswered(now: context.eventLoop.now)
            return .goOn
        }
        forget()
        return .end
    }

    /// An answer was written to its end, and is not the last: the next request's turn.
    func wentOn() {
        guard let context else { return }
        if let buffer = held {
            held = nil
            pass(buffer, context: context)
            context.fireChannelReadComplete()
        }
        if isHalfClosed, held == nil || isReading { endInput(context: context) }
        if isReadingWithheld { read(context: context) }
    }

    /// The last answer is with the kernel: half a close, then the caller's turn.
    func linger() {
        guard let context else { return }
        deadlines.lingers(now: context.eventLoop.now)
        if isHalfClosed { return context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        context.read()
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
        // What the kernel has not taken: asked for only where an answer may still be on its way.
        let options = deadlines.mayBeWriting ? context.channel.syncOptions : nil
        let waiting = try? options?.getOption(.bufferedWritableBytes)
        switch deadlines.overdue(now: now, waiting: waiting ?? 0) {
        case nil: return
        case .request: refuse(.timeout, context: context)
        case .connection(let reason): close(reason, context: context)
        }
    }

    private func close(_ reason: ConnectionDeadlines.Reason, context: ChannelHandlerContext) {
        logger.debug("connection closed", metadata: ["reason": .string(reason.rawValue)])
        traffic.closed.add(reason)
        context.close(promise: nil)
    }
}
