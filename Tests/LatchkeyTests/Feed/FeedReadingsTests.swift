import LatchkeyTesting
import Testing

@testable import Latchkey

@Suite("Who waits for a reading of the list") struct FeedReadingsTests {
    @Test func `is told of the next one`() async {
        let readings = FeedReadings()
        let next = Task { await readings.next() }
        let waker = Task {
            while !Task.isCancelled {
                readings.wake()
                await Task.yield()
            }
        }
        #expect(await next.value)
        waker.cancel()
    }

    @Test func `is told that there is none once the node shuts down, whether it waited before or not`() async {
        let readings = FeedReadings()
        let waiting = Task { await readings.next() }
        readings.close()
        #expect(await waiting.value == false)
        #expect(await readings.next() == false)
        readings.wake()
        #expect(await readings.next() == false)
    }

    @Test func `comes from further on, and is not kept while the node shuts down`() async throws {
        try await TestInstallation.run { it in
            let feed = it.node.installation.feed
            let tokens = try await it.node.newUser("alice")
            #expect(try await it.node.revoke(tokens.refresh).status == 200)
            #expect(await becomesTrue { it.node.installation.revocations.position?.seq == 1 })
            let here = try #require(it.node.installation.revocations.position)
            let ahead = try #require(FeedPosition(word: here.word.replacing(".1.", with: ".9.")))
            // Another would be told to begin anew, once a tick has shown that there is no such position.
            await #expect(throws: Rejection.resync) { _ = try await feed.extract(after: ahead) }
            feed.readings.close()
            await #expect(throws: Rejection.unavailable(retryAfter: 1)) { _ = try await feed.extract(after: ahead) }
        }
    }
}
