import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JOSE
import LatchkeyTesting
import NIOCore
import NIOPosix
import Testing

@testable import Latchkey

@Suite("A caller that hangs up", .timeLimit(.minutes(8)), .eachAnswerCounts)
struct HangUpTests {
    private enum Happening: Equatable {
        case waiting
        case cancelled
    }

    /// `POST /wait` reads its body and waits for ever, `POST /now` answers.
    private func app(_ happenings: AsyncStream<Happening>.Continuation) -> some ApplicationProtocol {
        let router = Router(context: LatchkeyRequestContext.self)
        router.add(middleware: ErrorMiddleware())
        router.post("wait") { request, context in
            try await request.whileCallerWaits(on: context, limit: 100) { request in
                _ = try await JSONBody(request)
                happenings.yield(.waiting)
                do {
                    while true { try await Task.sleep(for: .seconds(3_600)) }
                } catch {
                    happenings.yield(.cancelled)
                    throw error
                }
            }
        }
        router.post("now") { request, context in
            try await request.whileCallerWaits(on: context, limit: 100) { request in
                _ = try await JSONBody(request)
                return Response.json(["done": true])
            }
        }
        return Application(
            router: router, server: .edge(EdgeLimits()), configuration: .init(address: .hostname("127.0.0.1", port: 0)))
    }

    private static func caller(_ port: Int) -> TestClient {
        TestClient(
            host: "localhost", port: port, eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton))
    }

    private func request(_ path: String, _ body: String) -> TestClient.Request {
        TestClient.Request(
            path, method: .post, authority: "localhost", headers: [.contentType: "application/json"],
            body: ByteBuffer(string: body))
    }

    @Test("is noticed while its request waits")
    func cancellation() async throws {
        let (stream, happenings) = AsyncStream<Happening>.makeStream()
        try await app(happenings).test(.live) { client in
            let port = try #require(client.port)
            var events = stream.makeAsyncIterator()
            for _ in 0..<10 {
                let caller = Self.caller(port)
                caller.connect()
                try await caller.executeAndDontWaitForResponse(request("/wait", "{}"))
                #expect(await events.next() == .waiting)
                try await caller.close(mode: .all)
                #expect(await events.next() == .cancelled)
                try? await caller.shutdown()
            }
        }
    }

    @Test("leaves the service alive, and so does one refused before its body ended")
    func survival() async throws {
        let (_, happenings) = AsyncStream<Happening>.makeStream()
        try await app(happenings).test(.live) { client in
            let port = try #require(client.port)
            for size in [0, 101, 100_000, 1_000_000, 2] {
                let caller = Self.caller(port)
                caller.connect()
                let body = size == 2 ? "{}" : String(repeating: " ", count: size)
                let response = try await caller.execute(request("/now", body))
                #expect(response.status == (size == 2 ? .ok : size == 0 ? .badRequest : .contentTooLarge))
                try? await caller.shutdown()
            }
        }
    }

    @Test func `is noticed by the end of the sending half, and behind any number of further requests`() async throws {
        let (stream, happenings) = AsyncStream<Happening>.makeStream()
        try await app(happenings).test(.live) { client in
            let port = try #require(client.port)
            var events = stream.makeAsyncIterator()
            for (further, ending) in [
                (0, "half"), (0, "all"), (1, "half"), (1, "all"), (2_000, "half"), (2_000, "all"),
            ] {
                let caller = try await RawCaller.connect(port: port)
                caller.send(RawRequest.post("/wait", [:]) + String(repeating: RawRequest.get("/"), count: further))
                #expect(await events.next() == .waiting)
                if ending == "half" { caller.endSending() } else { await caller.close() }
                #expect(await events.next() == .cancelled, "\(further) \(ending)")
                await caller.close()
            }
        }
    }

    @Test func `is not what an answered caller is taken for, who asks on on the same connection`() async throws {
        let (stream, happenings) = AsyncStream<Happening>.makeStream()
        try await app(happenings).test(.live) { client in
            var events = stream.makeAsyncIterator()
            let caller = try await RawCaller.connect(port: try #require(client.port))
            for count in 1...20 {
                caller.send(RawRequest.post("/now", [:]))
                let answers = await caller.answers(count)
                #expect(answers.count == count && answers.allSatisfy { $0.status == 200 && $0["connection"] == nil })
            }
            caller.send(RawRequest.post("/wait", [:]))
            #expect(await events.next() == .waiting)
            caller.endSending()
            #expect(await events.next() == .cancelled)
            // Whoever still reads is told, and that it was the last.
            #expect(await caller.closes())
            #expect(caller.answers.last?.isLastRefusal(503, "unavailable") == true)
        }
    }
}
