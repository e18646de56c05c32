import Postgres
import Testing

@testable import Latchkey

@Suite("A node's clock")
struct NodeClockTests {
    @Test("tells nothing before the first tick")
    func isUnset() {
        #expect(NodeClock().now() == nil)
    }

    @Test("runs on from the database's time by this machine's boot clock", arguments: [0, 1, 500, 7200] as [Int64])
    func runsOn(seconds: Int64) throws {
        let clock = NodeClock()
        let now = BootInstant.now()
        let database = Instant(seconds: 1_000_000_000)
        clock.read(database, at: BootInstant(nanoseconds: now.nanoseconds - seconds * 1_000_000_000))
        let told = try #require(clock.now())
        #expect(told - database >= seconds * 1_000_000)
        #expect(told - database <= seconds * 1_000_000 + (BootInstant.now() - now) / 1000 + 1)
    }

    @Test("follows the database's clock back as well as forth", arguments: [-3600, 3600] as [Int64])
    func follows(step: Int64) throws {
        let clock = NodeClock()
        clock.read(Instant(seconds: 1_000_000_000), at: .now())
        clock.read(Instant(seconds: 1_000_000_000 + step), at: .now())
        #expect(clock.steps.reading == 1)
        #expect(try #require(clock.now()).seconds - 1_000_000_000 - step <= 60)
        #expect(try #require(clock.now()).seconds >= 1_000_000_000 + step)
    }

    @Test("has a boot clock that never runs back")
    func bootClock() {
        var last = BootInstant.now()
        for _ in 0..<10_000 {
            let next = BootInstant.now()
            #expect(next >= last)
            last = next
        }
    }

    @Test(
        "floors its instants to whole seconds, before 1970 too",
        arguments: [(0, 0), (999_999, 0), (1_000_000, 1), (-1, -1), (-1_000_000, -1), (-1_000_001, -2)]
            as [(Int64, Int64)])
    func floors(microseconds: Int64, seconds: Int64) {
        #expect(Instant(microseconds: microseconds).seconds == seconds)
    }
}

extension NodeClock {
    fileprivate func read(_ database: Instant, at boot: BootInstant) {
        let reading = ClockReading(now: max(database, reading?.now ?? database))
        _ = take(SteadyClock.Sample(raw: database, reading: reading, begun: boot, ended: boot), settling: 60)
    }
}
