import NIOCore
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
        #expect(try #require(Self.first(&draining)) == (8, .connection(.drain)))
    }
}
