package import Postgres

/// What a node makes of the times it reads (rule "one clock", *Steps*): pure, fed with readings of the database and of the
/// machine's boot clock.
///
/// It holds the database's clock against the boot clock, and where the one moved by two seconds against the other, what
/// becomes due stands still until caches and tokens from before have died. Each reading is an interval, since nobody knows
/// when between asking and answer the database read its clock: a slow answer is no step.
package struct SteadyClock: Sendable {
    /// Microseconds. Smaller moves are within the two seconds between a rotation and its instant.
    package static let largestMove: Int64 = 2_000_000
    /// Two honest clocks drift apart by less than one part in so many: what moves more slowly is followed.
    private static let drift: Int64 = 10_000
    /// While the database's clock is behind, the steady one is carried on by so much less than the boot clock, and so
    /// never runs ahead of a database that is only slow.
    private static let carriedPerMille: Int64 = 999

    /// One reading of `steady_clock()`, with the boot clock before it was asked and after it answered.
    package struct Sample: Sendable {
        package let raw: Instant
        package let reading: ClockReading
        package let begun: BootInstant
        package let ended: BootInstant
        /// By how much the steady clock was ahead of the database's when a node last wrote that down; microseconds.
        package let knownLead: Int64

        package init(
            raw: Instant, reading: ClockReading, begun: BootInstant, ended: BootInstant, knownLead: Int64 = 0
        ) {
            self.raw = raw
            self.reading = reading
            self.begun = begun
            self.ended = ended
            self.knownLead = knownLead
        }
    }

    /// The database's clock was stepped.
    package struct Step: Sendable, Equatable {
        /// What the steady clock read after that: it alone tells how long ago it was, whatever comes next.
        package let at: Instant
        /// What it would have read.
        package let from: Instant
        /// Microseconds; negative: back.
        package let moved: Int64
    }

    /// Where the database's clock stands less the boot clock: between two bounds, in microseconds.
    private struct Offset {
        var low: Int64
        var high: Int64
        var asOf: BootInstant

        init(_ sample: Sample) {
            low = sample.raw.microseconds - sample.ended.nanoseconds / 1000
            high = sample.raw.microseconds - sample.begun.nanoseconds / 1000
            asOf = sample.ended
        }
    }

    private var offset: Offset?
    private var anchor: (reading: ClockReading, boot: BootInstant)?
    /// The last step, until it is settled.
    package private(set) var step: Step?

    package init() {}

    /// By how much the sample lies outside of what was known; microseconds.
    private func move(to new: Offset) -> Int64 {
        guard let offset else { return 0 }
        let allowance = max(0, new.asOf - offset.asOf) / 1000 / Self.drift
        if new.low > offset.high + allowance { return new.low - offset.high - allowance }
        if new.high < offset.low - allowance { return new.high - offset.low + allowance }
        return 0
    }

    /// Whether the sample shows no step: a decision by it may stand.
    package func agrees(with sample: Sample) -> Bool { abs(move(to: Offset(sample))) < Self.largestMove }

    /// - Parameter settling: seconds until what was out before a step is dead.
    /// - Returns: the step that the sample shows.
    package mutating func take(_ sample: Sample, settling: Int64) -> Step? {
        let new = Offset(sample)
        var moved = move(to: new)
        // A node that is no more has seen a later time. What of that it has written down itself is an old step's, however
        // long ago that settled; the rest happened since, and nobody has noticed when.
        if anchor == nil { moved = min(0, sample.knownLead - (sample.reading.now - sample.raw)) }
        let expected = reading(at: sample.ended) ?? sample.reading
        let now = max(expected.now, sample.reading.now)
        let isStep = abs(moved) >= Self.largestMove
        // By the clock as it ran before this sample: a further step must not pass for the time that the last one takes.
        if let old = step, old.at + settling <= expected.now { step = nil }
        if isStep {
            // Of several steps, noticed here or told by others, the first says up to where the clock is believed.
            step = Step(at: now, from: min(step?.from ?? now, expected.settled), moved: moved)
        }
        follow(new, moved: isStep ? nil : moved)
        let believed = sample.reading.isSettled ? now : sample.reading.settled
        anchor = (ClockReading(now: now, settled: min(believed, step?.from ?? now)), sample.ended)
        return isStep ? step : nil
    }

    /// Narrows what is known by a reading that fits, keeps it where one is off by less than a step, so that many small
    /// moves add up to one; nil: begins anew.
    private mutating func follow(_ new: Offset, moved: Int64?) {
        guard let old = offset, let moved else {
            offset = new
            return
        }
        guard moved == 0, new.asOf >= old.asOf else { return }
        let allowance = (new.asOf - old.asOf) / 1000 / Self.drift
        offset?.low = max(old.low - allowance, new.low)
        offset?.high = min(old.high + allowance, new.high)
        offset?.asOf = new.asOf
    }

    /// The largest time read; nil before the first reading.
    package var largest: Instant? { anchor?.reading.now }

    /// The steady clock, carried on by the boot clock; nil before the first reading.
    package func steady(at boot: BootInstant) -> Instant? {
        anchor.map { anchor in
            let elapsed = max(0, boot - anchor.boot) / 1000
            return Instant(microseconds: anchor.reading.now.microseconds + elapsed * Self.carriedPerMille / 1000)
        }
    }

    /// nil before the first reading.
    package func reading(at boot: BootInstant) -> ClockReading? {
        guard let anchor, let now = steady(at: boot) else { return nil }
        return ClockReading(now: now, settled: anchor.reading.isSettled ? now : anchor.reading.settled)
    }
}
