import LatchkeyTesting
import Logging
import MetricsTestKit
import Synchronization
import Testing

@testable import LatchkeyVerifier

/// What a verifier told its log.
private final class LogLines: Sendable {
    private let lines = Mutex<[(level: Logger.Level, text: String)]>([])

    var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

    func count(_ level: Logger.Level, _ text: String) -> Int {
        lines.withLock { lines in lines.count { $0.level == level && $0.text.contains(text) } }
    }

    private func add(_ level: Logger.Level, _ text: String) { lines.withLock { $0.append((level, text)) } }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.add(event.level, "\(event.message) \(event.metadata?["error"].map { "\($0)" } ?? "")")
        }
    }
}

@Suite("A feed that does not work, as its owner sees it")
struct FeedTroubleTests {
    @Test func `is told of once for each reason, however long it lasts`() async throws {
        let lines = LogLines()
        try await FakeIssuer.run { it in
            it.tamper(.cut)
            try await Verifier.following(it, isReady: false, logger: lines.logger) { verifier in
                #expect(await becomesTrue { lines.count(.warning, "followed answered 503") == 1 })
                #expect(await becomesTrue(within: .seconds(15)) { it.asked("list") > 3 })
                #expect(lines.count(.warning, "the revocation feed") == 1)
                it.tamper(.foreignKey)
                #expect(await becomesTrue(within: .seconds(15)) { lines.count(.warning, "the revocation feed") == 2 })
                it.tamper(.nothing)
                try await verifier.waitUntilReady(within: .seconds(30))
                #expect(lines.count(.warning, "the revocation feed") == 2)
            }
        }
    }

    @Test func `is an interruption where it worked, and a warning where it does not come back`() async throws {
        let lines = LogLines()
        try await FakeIssuer.run { it in
            try await Verifier.following(it, logger: lines.logger) { _ in
                #expect(await becomesTrue(within: .seconds(10)) { it.state.withLock { $0.recordedEvent != nil } })
                #expect(lines.count(.warning, "") == 0)
                it.tamper(.cut)
                #expect(await becomesTrue(within: .seconds(15)) { lines.count(.warning, "answered 503") == 1 })
                #expect(lines.count(.notice, "interrupted") == 1)
            }
        }
    }

    @Test func `is no reason to wait longer for an answer than the list may be old`() async throws {
        try await FakeIssuer.run { it in
            it.tamper(.noStream)
            try await Verifier.following(it, staleAfter: .seconds(3)) { _ in
                #expect(await becomesTrue(within: .seconds(20)) { it.asked("held") > 1 })
                it.tamper(.silent)
                // One that was held already comes to its end.
                let held = it.asked("held")
                #expect(await becomesTrue(within: .seconds(10)) { it.asked("held") > held })
                let asked = it.state.withLock { $0.asked.values.reduce(0, +) }
                // A second for the answer to be held, and one for the way.
                #expect(
                    await becomesTrue(within: .seconds(4)) {
                        it.state.withLock { $0.asked.values.reduce(0, +) } > asked
                    })
            }
        }
    }

    @Test func `shows on the gauges, even where it never worked`() throws {
        let metrics = TestMetrics()
        let start = ClockReading(boot: 5_000_000_000, wall: 1_700_000_000_000)
        let gauges = VerifierMetrics(factory: metrics, startedAt: start)
        func shown(_ now: ClockReading, _ state: FollowerState) throws -> (age: Double?, isFresh: Double?) {
            gauges.look(at: FollowedSet(state), now)
            return (
                try metrics.expectGauge("latchkey_verifier_revocations_age_seconds").lastValue,
                try metrics.expectGauge("latchkey_verifier_is_fresh").lastValue
            )
        }
        var state = FollowerState(proof: .nonce, limit: 5_000_000_000)
        func later(_ seconds: Int64, leap: Int64 = 0) -> ClockReading {
            ClockReading(boot: start.boot + seconds * 1_000_000_000, wall: start.wall + (seconds + leap) * 1000)
        }
        #expect(try shown(later(40), state) == (40, 0))

        let position = try #require(FeedPosition("00000000-0000-7000-8000-000000000001.1.AAAAAAAAAAAAAAAA"))
        let claims = FeedClaims(
            position: position, asOf: 1000, now: 1000, node: "node", time: start.wall / 1000, nonce: "n", count: 0,
            digest: [])
        let request = FollowerState.Request(nonce: "n", sentAt: later(50))
        _ = try state.judge(claims, answering: request, at: later(50))
        state.didApply(claims, answering: request, at: later(50))
        #expect(try shown(later(52), state) == (2, 1))
        #expect(try shown(later(58), state) == (8, 0))
        // The clocks do not tell any more.
        #expect(try shown(later(52, leap: 60), state) == (52, 0))
    }
}
