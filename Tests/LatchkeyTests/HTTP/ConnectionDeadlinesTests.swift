import NIOCore
import NIOEmbedded
import NIOHTTP1
import Logging
import Testing

@testable import Latchkey

@Suite("The deadlines of a connection")
struct ConnectionDeadlinesTests {
    private typealias Overdue = ConnectionDeadlines.Overdue

    private static func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    /// The first whole second at which something is overdue, and what.
    private static func first(
        _ deadlines: inout ConnectionDeadlines, from start: Int64 = 0, waiting: Int = 0,
        each: (inout ConnectionDeadlines) -> Void = { _ in }
    ) -> (Int64, Overdue)? {
        for second in start...200 {
            if let overdue = deadlines.overdue(now: at(second), waiting: waiting) { return (second, overdue) }
            each(&deadlines)
        }
        return nil
    }

    @Test("close one on which nothing comes, and one that is idle")
    func silence() throws {
        var silent = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        #expect(try #require(Self.first(&silent)) == (10, .connection(.nothingCame)))
        var idle = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        idle.requestEnded(owed: 1, now: Self.at(1))
        #expect(Self.first(&idle) == nil, "an answer may take its time")
        idle.allAnswered(now: Self.at(3))
        #expect(try #require(Self.first(&idle, from: 3)) == (78, .connection(.idle)))
    }

    @Test("count a head from its first byte, whatever comes after")
    func heads() throws {
        var drip = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        drip.headBegan(now: Self.at(4))
        let overdue = Self.first(&drip, from: 4) { $0.headBegan(now: Self.at(9)) }
        #expect(try #require(overdue) == (10, .request), "the wait for the first byte counts as well")
        var next = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        next.requestEnded(owed: 0, now: Self.at(20))
        next.headBegan(now: Self.at(50))
        #expect(try #require(Self.first(&next, from: 50) { $0.headBegan(now: Self.at(55)) }) == (60, .request))
    }

    @Test("want a body within a time and at a rate")
    func bodies() throws {
        var nothing = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        nothing.bodyBegan(now: Self.at(0))
        #expect(try #require(Self.first(&nothing)) == (10, .request))
        var slow = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        slow.bodyBegan(now: Self.at(0))
        #expect(try #require(Self.first(&slow) { $0.bodyCame(499) }) == (10, .request))
        var long = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        long.bodyBegan(now: Self.at(0))
        #expect(try #require(Self.first(&long) { $0.bodyCame(600) }) == (30, .request))
        long.requestEnded(owed: 1, now: Self.at(31))
        #expect(Self.first(&long, from: 31) == nil)
    }

    @Test("want an answer to be taken at a rate")
    func answers() throws {
        var never = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        never.requestEnded(owed: 1, now: Self.at(0))
        never.wrote(100_000)
        #expect(never.mayBeWriting)
        #expect(try #require(Self.first(&never, waiting: 90_000)) == (10, .connection(.answersNotTaken)))

        for (rate, last) in [(400, Optional(10 as Int64)), (600, nil)] {
            var taking = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
            taking.requestEnded(owed: 1, now: Self.at(0))
            taking.wrote(100_000)
            var second: Int64 = 0
            var closed: Int64?
            while second < 100, closed == nil {
                if taking.overdue(now: Self.at(second), waiting: 90_000 - Int(second) * rate) != nil { closed = second }
                second += 1
            }
            #expect(closed == last)
        }
        var taken = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        taken.requestEnded(owed: 1, now: Self.at(0))
        taken.wrote(10)
        #expect(Self.first(&taken, waiting: 0) == nil && !taken.mayBeWriting)
    }

    @Test("end what nobody reads any more, and a drain that takes too long")
    func ends() throws {
        var awaited = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        awaited.lastAnswersAwaited(now: Self.at(0))
        awaited.lastAnswersAwaited(now: Self.at(20))
        #expect(try #require(Self.first(&awaited)) == (30, .connection(.answersAwaited)))
        var lingering = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        lingering.lingers(now: Self.at(1))
        lingering.lingers(now: Self.at(2))
        #expect(try #require(Self.first(&lingering)) == (3, .connection(.lingering)))
        var draining = ConnectionDeadlines(EdgeLimits(), now: Self.at(0))
        draining.requestEnded(owed: 1, now: Self.at(0))
        draining.drains(now: Self.at(1))
        draining.drains(now: Self.at(5))
        #expect(try #require(Self.first(&draining)) == (9, .connection(.drain)))
    }

    /// A connection whose router answers nothing by itself.
    private struct Connection {
        let channel = EmbeddedChannel()

        init() throws {
            let answers = AnswerGate()
            let ticker = EdgeTicker(channel.eventLoop, interval: .milliseconds(500))
            try channel.pipeline.syncOperations.addHandlers([
                ConnectionGate(
                    limits: EdgeLimits(), admission: .served, ticker: ticker, answers: answers,
                    now: channel.eventLoop.now, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
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

    @Test("hand a slow head to the router as a refusal, once, and close when it is answered")
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

    @Test("leave a request alone that is being answered, and close an idle connection without a word")
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

    @Test("do not outlive a drain")
    func drain() throws {
        let idle = try Connection()
        idle.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        #expect(!idle.channel.isActive, "an idle one closes at once")

        let busy = try Connection()
        try busy.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HT")
        busy.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        try busy.send("TP/1.1\r\nHost: a\r\n\r\n")
        #expect(try busy.targets() == ["/a", "/b"], "what had come is answered")
        try busy.answer()
        #expect(try !busy.sent().contains("connection: close"))
        try busy.answer()
        #expect(try busy.sent().contains("connection: close"))

        let stuck = try Connection()
        try stuck.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        stuck.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        stuck.pass(.seconds(7))
        #expect(stuck.channel.isActive)
        stuck.pass(.seconds(2))
        #expect(!stuck.channel.isActive)
    }
}
