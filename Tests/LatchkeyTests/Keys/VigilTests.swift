import Postgres
import Testing

@testable import Latchkey

/// Whose ticks count when it is asked whether every node holds a master key.
@Suite struct VigilTests {
    /// Seconds.
    private func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: Int64(seconds * 1e9)) }

    /// Looks once a second over a span.
    private func watch(_ vigil: inout Vigil, _ span: ClosedRange<Int>) {
        for second in span { vigil.look(at: at(Double(second))) }
    }

    @Test func `Whoever has not looked yet counts every node of the day`() {
        #expect(Vigil().presence(at: at(100_000)) == .known)
    }

    @Test(arguments: [(1.0, NodePresence.known), (30, .known), (59, .known), (60, .ticking), (61, .ticking)])
    func `A minute of looking tells the silent ones from those that are no more`(
        until: Double, presence: NodePresence
    ) {
        var vigil = Vigil()
        watch(&vigil, 0...Int(until))
        #expect(vigil.presence(at: at(until)) == presence)
    }

    /// The database did not answer for ten minutes, and no node could tick.
    @Test func `A break begins it anew`() {
        var vigil = Vigil()
        watch(&vigil, 0...600)
        #expect(vigil.presence(at: at(600)) == .ticking)
        #expect(vigil.presence(at: at(1200)) == .known)
        watch(&vigil, 1200...1259)
        #expect(vigil.presence(at: at(1259)) == .known)
        vigil.look(at: at(1260))
        #expect(vigil.presence(at: at(1260)) == .ticking)
    }

    @Test func `A pause of a few seconds does not`() {
        var vigil = Vigil()
        watch(&vigil, 0...60)
        #expect(vigil.presence(at: at(70)) == .ticking)
        #expect(vigil.presence(at: at(70.1)) == .known)
    }
}
