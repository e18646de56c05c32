import Testing

@testable import LatchkeyVerifier

@Suite struct Transports {
    private let minute = Duration.seconds(60).nanoseconds

    @Test func `two failures in a row lead to the next way, and round again`() {
        var transport = Transport()
        var ways: [Transport.Way] = []
        for now in 0..<7 {
            let way = transport.next(now: Int64(now))
            ways.append(way)
            transport.failed(by: way, now: Int64(now))
        }
        #expect(ways == [.stream, .stream, .longPoll, .longPoll, .poll, .poll, .stream])
    }

    @Test func `a failure between successes leads nowhere`() {
        var transport = Transport()
        for now in 0..<10 {
            #expect(transport.next(now: Int64(now)) == .stream)
            transport.failed(by: .stream, now: Int64(now))
            transport.succeeded(by: .stream)
        }
    }

    @Test func `from a lesser way the stream is tried once a minute, and kept where it comes through`() {
        var transport = Transport()
        for _ in 0..<2 { transport.failed(by: transport.next(now: 0), now: 0) }
        #expect(transport.next(now: minute - 1) == .longPoll)
        transport.succeeded(by: .longPoll)
        #expect(transport.next(now: minute) == .stream)
        transport.failed(by: .stream, now: minute)
        #expect(transport.next(now: minute + 1) == .longPoll)
        transport.succeeded(by: .longPoll)
        #expect(transport.next(now: 2 * minute) == .stream)
        transport.succeeded(by: .stream)
        #expect(transport.next(now: 2 * minute + 1) == .stream)
        #expect(transport.way == .stream)
    }

    @Test func `pauses double up to their limit, and no two verifiers agree on them`() {
        var backoff = Backoff(first: .milliseconds(500), limit: .seconds(5))
        #expect((0..<6).map { _ in backoff.failed(jitter: 1) } == [0.5, 1, 2, 4, 5, 5].map { .seconds($0) })
        #expect(backoff.failed(jitter: 0) == .seconds(2.5))
        backoff.succeeded()
        #expect(backoff.failed(jitter: 0.5) == .milliseconds(375))
    }
}
