import NIOCore
import Testing

@testable import LatchkeyGuard

@Suite("A handover")
struct HandoverTests {
    private struct CutOff: Error {}

    private func pieces(_ texts: [String], ending error: (any Error)? = nil) -> (HandedBody, Task<Void, Never>) {
        let handover = Handover()
        let task = Task {
            for text in texts { await handover.offer(ByteBuffer(string: text)) }
            handover.end(error)
        }
        return (HandedBody(handover: handover), task)
    }

    @Test func `brings every piece once, in order, and then the end`() async throws {
        let texts = (0..<500).map { "\($0)" }
        let (body, task) = pieces(texts)
        var taken: [String] = []
        for try await piece in body { taken.append(String(buffer: piece)) }
        #expect(taken == texts)
        await task.value
    }

    @Test func `of a body that was cut off ends with its error, not with an end`() async {
        let (body, task) = pieces(["a"], ending: CutOff())
        await #expect(throws: CutOff.self) { for try await _ in body {} }
        await task.value
    }

    @Test func `keeps nobody waiting who offers to one that has left`() async throws {
        let (body, task) = pieces(["a", "b", "c"])
        do {
            var reader = body.makeAsyncIterator()
            #expect(try await reader.next() == ByteBuffer(string: "a"))
        }
        await task.value
        await #expect(throws: CancellationError.self) { _ = try await body.handover.take() }

        let (none, other) = pieces(["a", "b", "c"])
        none.handover.abandon()
        await other.value
    }
}
