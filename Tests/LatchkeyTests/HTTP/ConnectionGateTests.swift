import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import Latchkey

/// A connection whose router answers nothing by itself.
private struct Connection {
    let channel = EmbeddedChannel()
    let reads = Reads()
    let traffic = EdgeTraffic()

    init() throws {
        let answers = AnswerGate()
        let ticker = EdgeTicker(channel.eventLoop, interval: .milliseconds(500))
        try channel.pipeline.syncOperations.addHandlers([
            reads,
            ConnectionGate(
                limits: EdgeLimits(), admission: .served, ticker: ticker, answers: answers,
                traffic: traffic, now: channel.eventLoop.now,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
            HTTPResponseEncoder(), ByteToMessageHandler(HTTPRequestDecoder()), answers,
        ])
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    func send(_ text: String) throws { try channel.writeInbound(ByteBuffer(string: text)) }

    /// What the router sees: targets of requests.
    func targets() throws -> [String] {
        var found: [String] = []
        while let part = try channel.readInbound(as: HTTPServerRequestPart.self) {
            if case .head(let head) = part { found.append(head.uri) }
        }
        return found
    }

    /// What the caller sees.
    func sent() throws -> String {
        var text = ""
        while case .byteBuffer(let buffer)? = try channel.readOutbound(as: IOData.self) {
            text += String(buffer: buffer)
        }
        return text
    }

    func answer() throws {
        let head = HTTPResponseHead(version: .http1_1, status: .noContent)
        try channel.writeOutbound(HTTPServerResponsePart.head(head))
        try channel.writeOutbound(HTTPServerResponsePart.end(nil))
    }

    func pass(_ time: TimeAmount) { channel.embeddedEventLoop.advanceTime(by: time) }
}

/// How often the kernel was asked for more.
private final class Reads: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    private(set) var count = 0

    func read(context: ChannelHandlerContext) {
        count += 1
        context.read()
    }
}

@Suite("The gate of a connection")
struct ConnectionGateTests {
    @Test("hands a slow head to the router as a refusal, once, and closes when it is answered")
    func slowHead() throws {
        let it = try Connection()
        for byte in "GET / HTT" {
            try it.send(String(byte))
            it.pass(.seconds(1))
        }
        #expect(try it.targets() == [])
        it.pass(.seconds(3))
        #expect(try it.targets() == ["*timeout"])
        try it.send("P/1.1\r\nHost: a\r\n\r\n")
        #expect(try it.targets() == [])
        #expect(it.channel.isActive)
        try it.answer()
        #expect(try it.sent().contains("connection: close"))
        it.pass(.seconds(3))
        #expect(!it.channel.isActive)
    }

    @Test("leaves a request alone that is being answered, and closes an idle connection without a word")
    func idle() throws {
        let it = try Connection()
        try it.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        it.pass(.minutes(5))
        #expect(try it.targets() == ["/a"] && it.channel.isActive)
        try it.answer()
        #expect(try it.sent().contains("connection: close") == false)
        it.pass(.seconds(74))
        #expect(it.channel.isActive)
        it.pass(.seconds(2))
        #expect(try !it.channel.isActive && it.sent() == "")
    }

    @Test("does not outlive a drain")
    func drain() throws {
        let idle = try Connection()
        idle.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        #expect(!idle.channel.isActive, "an idle one closes at once")

        let busy = try Connection()
        try busy.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HT")
        busy.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        try busy.send("TP/1.1\r\nHost: a\r\n\r\n")
        #expect(try busy.targets() == ["/a"], "what was under way is answered; the rest was seen by nobody")
        try busy.answer()
        #expect(try busy.sent().contains("connection: close") && busy.targets() == [])

        let stuck = try Connection()
        try stuck.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        stuck.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        stuck.pass(.seconds(6))
        #expect(stuck.channel.isActive)
        stuck.pass(.seconds(2))
        #expect(!stuck.channel.isActive)
    }

    @Test func `passes a request on when the one before it is answered, and not before`() throws {
        let it = try Connection()
        try it.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HTTP/1.1\r\nHo")
        #expect(try it.targets() == ["/a"])
        try it.send("st: a\r\n\r\n")
        #expect(try it.targets() == [])
        try it.answer()
        #expect(try it.targets() == ["/b"])
        try it.answer()
        #expect(try it.targets() == ["/c"])
        // Its time begins when it is looked at.
        it.pass(.minutes(5))
        try it.answer()
        it.pass(.seconds(74))
        #expect(try it.channel.isActive && it.targets() == [])
    }

    @Test func `answers what was whole when the caller shut down its half, and nothing else`() throws {
        let it = try Connection()
        try it.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HTTP/1.1\r\nHo")
        it.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        try it.answer()
        #expect(try it.targets() == ["/a", "/b"] && it.channel.isActive)
        try it.answer()
        #expect(try it.targets() == [] && !it.channel.isActive)
    }

    @Test func `reads no further than it holds while an answer is owed`() throws {
        let it = try Connection()
        let get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
        func asks() -> Bool {
            let before = it.reads.count
            it.channel.pipeline.read()
            return it.reads.count > before
        }
        try it.send(get + get)
        #expect(asks())
        try it.send(String(repeating: get, count: EdgeLimits.heldBytes / get.utf8.count))
        #expect(!asks() && !asks())
        let before = it.reads.count
        try it.answer()
        #expect(it.reads.count == before + 1, "two requests fewer are held")
        #expect(asks())
    }

    @Test func `holds a short body until it is whole, however long its head`() throws {
        let it = try Connection()
        let head = "POST /a HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 12_000))\r\n"
        let chunk = "2000\r\n\(String(repeating: "y", count: 0x2000))\r\n"
        try it.send(head + "Transfer-Encoding: chunked\r\n\r\n" + chunk)
        #expect(try it.targets() == [])
        try it.send("0\r\n\r\n")
        #expect(try it.targets() == ["/a"])
        try it.answer()
        // One too long to be held goes on before its end.
        try it.send("POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
        #expect(try it.targets() == ["/b"])
    }
}
