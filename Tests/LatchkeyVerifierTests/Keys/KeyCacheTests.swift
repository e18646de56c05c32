import LatchkeyTesting
import Logging
import Metrics
import Synchronization
import Testing

@testable import LatchkeyVerifier

@Suite struct KeyCaches {
    @Test func `of a flood of unknown keys the first wakes who fetches, and the others nobody`() async throws {
        try await FakeIssuer.run { it in
            let clocks = MovedClocks()
            let cache = KeyCache(
                directory: Directory(
                    issuer: it.issuer,
                    discovery: try #require(Endpoint("\(it.issuer)/.well-known/openid-configuration"))),
                name: nil, clocks: clocks.clocks,
                metrics: VerifierMetrics(factory: NOOPMetricsHandler.instance, startedAt: .now()),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let client = IssuerClient()
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await cache.run(client) }
                #expect(await becomesTrue { cache.snapshot != nil })
                it.change { $0.keysAreSilent = true }
                clocks.advance(.seconds(11))
                let (announced, fetched) = (cache.changes.number, it.state.withLock { $0.keyFetches })
                await withTaskGroup(of: Void.self) { askers in
                    for _ in 0..<200 { askers.addTask { await cache.refetch() } }
                }
                #expect(it.state.withLock { $0.keyFetches } == fetched + 1)
                // One for the question; and where the fetch was given up meanwhile, one for its end.
                #expect(announced + 1...announced + 2 ~= cache.changes.number)
                it.change { $0.keysAreSilent = false }
                group.cancelAll()
            }
            await client.close()
        }
    }
}
