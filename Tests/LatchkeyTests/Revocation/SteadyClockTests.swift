import Postgres
import Testing

@testable import Latchkey

@Suite struct `The steady clock` {
    private static let start = Instant(seconds: 1_700_000_000)
    private static let settling: Int64 = 4230

    /// A database and a node's boot clock, both told in seconds since the start.
    private struct World {
        var clock = SteadyClock()
        /// What the table holds.
        var seen = start
        var held: SteadyClock.Step?
        /// Microseconds by which the table says that the steady clock was ahead.
        var knownLead: Int64 = 0

        /// - Parameter waited: seconds from asking to answer.
        mutating func read(_ database: Double, boot: Double, waited: Double = 0.001) -> SteadyClock.Step? {
            let raw = Instant(microseconds: start.microseconds + Int64(database * 1_000_000))
            let ended = BootInstant(nanoseconds: Int64((boot + 1000) * 1e9))
            seen = max(seen, raw, clock.steady(at: ended) ?? raw)
            let step = clock.take(
                SteadyClock.Sample(
                    raw: raw, reading: ClockReading(now: seen, settled: held?.from),
                    begun: BootInstant(nanoseconds: Int64((boot + 1000 - waited) * 1e9)), ended: ended,
                    knownLead: knownLead),
                settling: settling)
            return step
        }

        /// Microseconds since the start.
        func reading(at boot: Double) -> (now: Int64, settled: Int64)? {
            clock.reading(at: BootInstant(nanoseconds: Int64((boot + 1000) * 1e9))).map {
                ($0.now - start, $0.settled - start)
            }
        }
    }

    @Test func `tells nothing before it was read`() {
        #expect(World().reading(at: 0) == nil)
    }

    @Test func `runs with the database's, and is settled`() throws {
        var world = World()
        for tick in 0..<100 { #expect(world.read(Double(tick) / 2, boot: Double(tick) / 2) == nil) }
        let reading = try #require(world.reading(at: 49.5))
        #expect(reading.now == 49_500_000)
        #expect(reading.settled == reading.now)
    }

    static let steps: [(Double, Bool)] = [
        (2.1, true), (3600, true), (31_536_000, true), (-2.1, true), (-3600, true), (1.9, false), (-1.9, false),
        (0, false),
    ]

    @Test(arguments: steps)
    func `notices that the database's was stepped, from two seconds on`(size: Double, isStep: Bool) throws {
        var world = World()
        _ = world.read(0, boot: 0)
        _ = world.read(10, boot: 10)
        let step = world.read(10.5 + size, boot: 10.5)
        #expect((step != nil) == isStep)
        if let step { #expect(abs(step.moved - Int64(size * 1_000_000)) < 20_000) }
    }

    @Test func `never runs back, and runs on while the database's is behind`() throws {
        var world = World()
        _ = world.read(0, boot: 0)
        _ = world.read(100, boot: 100)
        #expect(world.read(-3500, boot: 100.5) != nil)
        var last: Int64 = 100_000_000
        for tick in 202..<400 {
            let boot = Double(tick) / 2
            #expect(world.read(boot - 3600, boot: boot) == nil)
            let now = try #require(world.reading(at: boot)).now
            #expect(now > last)
            #expect(now <= Int64(boot * 1_000_000))
            last = now
        }
    }

    @Test(arguments: [3600, -3600, 31_536_000] as [Double])
    func `believes no more than before a step, for as long as what was out may live`(size: Double) throws {
        var world = World()
        for second in 0...100 { _ = world.read(Double(second), boot: Double(second)) }
        #expect(world.read(101 + size, boot: 101) != nil)
        for second in [101, 200, 1000, 4000, 4330] {
            _ = world.read(Double(second) + size, boot: Double(second))
            let reading = try #require(world.reading(at: Double(second)))
            #expect(reading.settled <= 101_000_000)
            #expect(reading.settled >= 100_000_000)
        }
        // Carried on behind the boot clock by one part in a thousand.
        _ = world.read(4340 + size, boot: 4340)
        let reading = try #require(world.reading(at: 4340))
        #expect(reading.settled == reading.now)
    }

    @Test func `believes what it read before the first of two steps`() throws {
        var world = World()
        for second in 0...100 { _ = world.read(Double(second), boot: Double(second)) }
        _ = world.read(3701, boot: 101)
        _ = world.read(3711, boot: 111)
        #expect(world.read(112, boot: 112) != nil)
        #expect(try #require(world.reading(at: 112)).settled <= 101_000_000)
    }

    @Test func `adds small moves up to a step`() {
        var world = World()
        _ = world.read(0, boot: 0)
        #expect(world.read(2.4, boot: 1) == nil)
        #expect(world.read(4.8, boot: 2) != nil)
    }

    @Test func `follows two honest clocks that drift apart`() {
        var world = World()
        for minute in 0..<2000 {
            let boot = Double(minute) * 60
            #expect(world.read(boot * 1.00005, boot: boot) == nil)
        }
    }

    @Test func `takes a slow answer for no step`() {
        var world = World()
        _ = world.read(0, boot: 0)
        // The database read its clock at once, at the end, or anywhere between.
        for (boot, late) in [(10.0, 1.9), (20, 0), (30, 1)] {
            #expect(world.read(boot - late, boot: boot, waited: 2) == nil)
        }
        #expect(world.read(40, boot: 40) == nil)
        #expect(world.read(47, boot: 44) != nil)
    }

    @Test func `is not deceived where it starts behind what others have seen`() {
        var world = World()
        world.seen = Self.start + 3600
        let step = world.read(0, boot: 0)
        #expect(step?.from == Self.start + 3600)
        let reading = world.reading(at: 0)
        #expect(reading?.now == 3_600_000_000)
    }

    /// Seconds that the table says the steady clock was ahead, and by which it is: what passed without a node makes it less.
    static let leads: [(known: Int64, present: Int64, back: Int64)] = [
        (3600, 3600, 0), (3600, 100, 0), (3600, 3601, 0), (3600, 3602, 2), (3600, 7200, 3600), (0, 1, 0), (0, 2, 2),
    ]

    @Test(arguments: leads)
    func `takes at its start an older step for settled, and what went back since for a new one`(
        known: Int64, present: Int64, back: Int64
    ) throws {
        var world = World()
        world.seen = Self.start + present
        world.knownLead = known * 1_000_000
        let step = world.read(0, boot: 0)
        #expect(step?.moved == (back == 0 ? nil : -back * 1_000_000))
        _ = world.read(10, boot: 10)
        let reading = try #require(world.reading(at: 10))
        #expect((reading.settled == reading.now) == (back == 0))
    }

    @Test func `believes another node's word that it was stepped`() {
        var world = World()
        world.held = SteadyClock.Step(at: Self.start, from: Self.start - 50, moved: 50)
        #expect(world.read(1, boot: 1) == nil)
        let reading = world.reading(at: 1)
        #expect(reading?.settled == -50_000_000)
    }

    @Test func `lets a decision stand only on a reading that shows no step`() {
        var world = World()
        _ = world.read(0, boot: 0)
        func sample(_ database: Int64) -> SteadyClock.Sample {
            SteadyClock.Sample(
                raw: Self.start + database, reading: ClockReading(now: Self.start + database),
                begun: BootInstant(nanoseconds: 1_001_000_000_000), ended: BootInstant(nanoseconds: 1_001_000_000_000))
        }
        #expect(world.clock.agrees(with: sample(1)))
        #expect(!world.clock.agrees(with: sample(4)))
        #expect(!world.clock.agrees(with: sample(-2)))
        #expect(SteadyClock().agrees(with: sample(99)))
    }
}
