import JOSE
import LatchkeyTesting
import NIOCore
import Postgres
import Testing

@testable import Latchkey

@Suite("The ring of events")
struct FeedRingTests {
    private static let epoch = UniqueID.version7(millisecondsSince1970: 1, random: [UInt8](repeating: 0, count: 10))

    private static func standing(_ seq: Int64) -> FeedRing.Standing {
        FeedRing.Standing(
            position: FeedPosition(epoch: epoch, seq: seq, digest: [UInt8](repeating: 7, count: 32)),
            claim: .init(asOf: .now(), time: .init(seconds: 1)))
    }

    private static func event(_ text: String, _ seq: Int64? = nil) -> FeedRing.Event {
        FeedRing.Event(bytes: ByteBuffer(string: text), standing: seq.map { standing($0) })
    }

    private static func texts(_ next: FeedRing.Next) -> [String]? {
        guard case .events(let events, _) = next else { return nil }
        return events.map { String(buffer: $0.bytes) }
    }

    @Test func `hands each follower what it has not had, and no more at once than it can hold`() async throws {
        let ring = FeedRing()
        var (cursor, _) = ring.join()
        ring.append(Self.event("a", 1))
        ring.append(Self.event("b", 2))
        let first = await ring.next(cursor)
        #expect(Self.texts(first) == ["a", "b"])
        guard case .events(_, let next) = first else { return }
        cursor = next
        for _ in 0..<4 { ring.append(Self.event(String(repeating: "x", count: 100_000))) }
        var sizes: [Int] = []
        for _ in 0..<2 {
            guard case .events(let events, let next) = await ring.next(cursor) else { break }
            sizes.append(events.count)
            cursor = next
        }
        #expect(sizes == [2, 2])
        #expect(ring.standing?.position.seq == 2)
    }

    @Test func `wakes all who wait`() async throws {
        let ring = FeedRing()
        let (cursor, _) = ring.join()
        let texts = await withTaskGroup(of: [String]?.self) { group in
            for _ in 0..<100 { group.addTask { Self.texts(await ring.next(cursor)) } }
            ring.append(Self.event("a"))
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(texts == [[String]?](repeating: ["a"], count: 100))
    }

    @Test func `cuts off who has fallen behind by too many events, or too many bytes`() async {
        for (count, size, isCutOff) in [
            (FeedRing.mostEvents, 1, false), (FeedRing.mostEvents + 1, 1, true), (4, 1 << 20, false),
            (5, 1 << 20, true),
        ] {
            let ring = FeedRing()
            let (cursor, _) = ring.join()
            for _ in 0..<count { ring.append(Self.event(String(repeating: "x", count: size))) }
            #expect((Self.texts(await ring.next(cursor)) == nil) == isCutOff, "\(count) of \(size)")
        }
    }

    @Test func `keeps one event however large for who has had all before it`() async {
        let ring = FeedRing()
        ring.append(Self.event("a"))
        let (cursor, _) = ring.join()
        ring.append(Self.event(String(repeating: "x", count: 2 * FeedRing.mostBytes)))
        #expect(Self.texts(await ring.next(cursor))?.count == 1)
        #expect(Self.texts(await ring.next(cursor - 1)) == nil)
    }

    @Test func `ends all with another history: who waits hears why, who is late is cut off`() async {
        let ring = FeedRing()
        ring.append(Self.event("a", 1))
        let (cursor, _) = ring.join()
        async let waiting = ring.next(cursor)
        #expect(await becomesTrue { ring.waiters == 1 })
        ring.restart(Self.event("resync"), at: Self.standing(9))
        guard case .events(let events, let next) = await waiting else {
            Issue.record("not told")
            return
        }
        #expect(events.map { String(buffer: $0.bytes) } == ["resync"])
        ring.append(Self.event("b", 10))
        for late in [cursor, next] { #expect(Self.texts(await ring.next(late)) == nil) }
        #expect(ring.standing?.position.seq == 10)
    }

    @Test func `lets nobody wait beyond a deadline, a cancellation or its end`() async {
        let ring = FeedRing()
        let (cursor, _) = ring.join()
        let soon = BootInstant(nanoseconds: BootInstant.now().nanoseconds + 1_000_000)
        async let late = ring.next(cursor, until: soon)
        #expect(await becomesTrue { ring.waiters == 1 })
        ring.expire(now: BootInstant(nanoseconds: soon.nanoseconds - 1))
        #expect(ring.waiters == 1)
        ring.expire(now: soon)
        if case .timeOver = await late {} else { Issue.record("not over") }

        let cancelled = Task { await ring.next(cursor) }
        #expect(await becomesTrue { ring.waiters == 1 })
        cancelled.cancel()
        #expect(Self.texts(await cancelled.value) == nil)
        #expect(ring.waiters == 0)

        async let ended = ring.next(cursor)
        #expect(await becomesTrue { ring.waiters == 1 })
        ring.close()
        #expect(Self.texts(await ended) == nil)
        #expect(Self.texts(await ring.next(cursor)) == nil)
        #expect(ring.enter(most: 10) == nil)
    }

    @Test func `has so many places, and has them back from whoever is forgotten`() {
        let ring = FeedRing()
        var places = (0..<3).map { _ in ring.enter(most: 3) }
        #expect(places.allSatisfy { $0 != nil })
        #expect(ring.enter(most: 3) == nil)
        #expect(ring.followers == 3)
        places.removeLast()
        #expect(ring.followers == 2)
        #expect(ring.enter(most: 3) != nil)
        #expect(ring.enter(most: 0) == nil)
    }

    @Test func `passes over what nobody follows`() async {
        let ring = FeedRing()
        #expect(ring.skip(to: Self.standing(5)))
        #expect(ring.standing?.position.seq == 5)
        let place = ring.enter(most: 1)
        #expect(ring.skip(to: Self.standing(6)) == false)
        #expect(ring.standing?.position.seq == 5)
        ring.append(Self.event("a", 6))
        #expect(Self.texts(await ring.next(ring.join().cursor - 1)) == ["a"])
        withExtendedLifetime(place) {}
    }
}
