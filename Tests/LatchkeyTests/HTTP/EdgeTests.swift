import Foundation
import Hummingbird
import HummingbirdTesting
import JOSE
import LatchkeyTesting
import NIOCore
import NIOHTTP1
import Postgres
import Synchronization
import Testing

@testable import Latchkey

/// The whole edge on real sockets, with deadlines of fractions of a second.
@Suite("The HTTP edge", .eachAnswerCounts)
struct EdgeTests {
    @Sendable private static func short(_ settings: inout Settings) {
        settings.edge.head = .milliseconds(400)
        settings.edge.body = .milliseconds(1200)
        settings.edge.pause = .milliseconds(400)
        settings.edge.idle = .milliseconds(600)
        settings.edge.linger = .milliseconds(300)
        settings.edge.tick = .milliseconds(20)
    }

    private static let livez = RawRequest.livez

    private func expectFace(_ answer: RawAnswer, _ status: Int, _ code: String) {
        #expect(answer.isLastRefusal(status, code))
    }

    @Test("answers a head that does not end with 408, and closes a silent or idle connection without a word")
    func slowHeads() async throws {
        try await TestInstallation.run(settings: Self.short) { it in
            let port = it.node.port
            let (silent, slow, idle) = (
                try await RawCaller.connect(port: port), try await RawCaller.connect(port: port),
                try await RawCaller.connect(port: port)
            )
            slow.send("GET /livez HTTP/1.1\r\nHos")
            idle.send(Self.livez)
            #expect(await silent.closes() && silent.received == [])
            #expect(await slow.closes())
            expectFace(try #require(slow.answers.first), 408, "request-timeout")
            #expect(await idle.closes())
            #expect(idle.answers.map(\.status) == [200] && idle.answers[0]["connection"] == nil)
        }
    }

    @Test("refuses a body that does not come, is malformed or cut off, before a route sees it")
    func slowBodies() async throws {
        try await TestInstallation.run(settings: Self.short) { it in
            let head = "POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            for (end, body, status, code) in [
                ("", "Content-Length: 50\r\n\r\nx", 408, "request-timeout"),
                ("", "Transfer-Encoding: chunked\r\n\r\n5\r\nab", 408, "request-timeout"),
                ("", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefg\r\n", 400, "invalid-request"),
                ("half", "Content-Length: 50\r\n\r\nx", 400, "invalid-request"),
            ] {
                let caller = try await RawCaller.connect(port: it.node.port)
                caller.send(head + body)
                if end == "half" { caller.endSending() }
                #expect(await caller.closes())
                #expect(caller.answers.count == 1)
                expectFace(try #require(caller.answers.first), status, code)
            }
        }
    }

    @Test("tells the route of a long body why it ends")
    func longBodies() async throws {
        let router = Router(context: LatchkeyRequestContext.self)
        router.add(middleware: ErrorMiddleware())
        router.post("oauth2/long") { request, _ in
            let body = try await request.body.collect(upTo: 1 << 20)
            return Response.json(["length": .integer(Int64(body.readableBytes))])
        }
        router.refuseOtherMethods(heads: .written)
        var limits = EdgeLimits()
        (limits.body, limits.pause, limits.tick) = (.milliseconds(1200), .milliseconds(400), .milliseconds(20))
        let app = Application(
            router: router, server: .edge(limits), configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        try await app.test(.live) { client in
            let port = try #require(client.port)
            let head = "POST /oauth2/long HTTP/1.1\r\nHost: a\r\n"
            let long = String(repeating: "x", count: 20_000)
            let chunk = "\(String(long.utf8.count, radix: 16))\r\n\(long)\r\n"
            for (body, status) in [
                ("Content-Length: 30000\r\n\r\n" + long, 408),
                ("Transfer-Encoding: chunked\r\n\r\n" + chunk, 408),
                ("Transfer-Encoding: chunked\r\n\r\n" + chunk + "x\r\n", 400),
                ("Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n", 200),
                ("Connection: close\r\nContent-Length: 20000\r\n\r\n" + long, 200),
            ] {
                let caller = try await RawCaller.connect(port: port)
                caller.send(head + body)
                #expect(await caller.closes())
                let answer = try #require(caller.answers.first)
                #expect(answer.status == status && answer["connection"] == "close" && caller.answers.count == 1)
                // The face of the path: the router has seen it. (What is malformed may show before that.)
                if status != 400 { #expect(answer["content-type"] == "application/json") }
            }
        }
    }

    @Test("closes over a caller that asks and asks and does not read")
    func noReader() async throws {
        try await TestInstallation.run(settings: Self.short) { it in
            let caller = try await RawCaller.connect(port: it.node.port, reading: .never)
            // Some 100 MB of answers, which no socket's buffers hold.
            let asking = Array(repeating: "GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n", count: 200).joined()
            let sending = Task {
                for _ in 0..<250 where !Task.isCancelled {
                    caller.send(asking)
                    try? await Task.sleep(for: .milliseconds(10))
                }
            }
            // Without reading, a caller learns of the close by its own writes.
            #expect(await caller.closes(within: .seconds(30)))
            sending.cancel()
            #expect(try await it.node.get("/livez").status == 200)
        }
    }

    @Test("answers 503 past its connections, and closes those past an eighth more")
    func connections() async throws {
        try await TestInstallation.run(settings: { $0.edge.connections = 16 }) { it in
            var callers: [RawCaller] = []
            for _ in 0..<16 {
                callers.append(try await RawCaller.connect(port: it.node.port))
                callers.last?.send(Self.livez)
                #expect(await callers.last?.answers(1).first?.status == 200)
            }
            for _ in 0..<2 { callers.append(try await RawCaller.connect(port: it.node.port)) }
            let beyond = try await RawCaller.connect(port: it.node.port)
            #expect(await beyond.closes() && beyond.received == [])
            for caller in callers[16...] { caller.send(Self.livez) }
            for caller in callers[16...] {
                #expect(await caller.closes())
                expectFace(try #require(caller.answers.first), 503, "overloaded")
                #expect(caller.answers[0]["retry-after"] == "1")
            }
            // One leaves, and there is room again.
            await callers[0].close()
            let port = it.node.port
            #expect(
                try await becomesTrue {
                    let next = try await RawCaller.connect(port: port)
                    next.send(Self.livez)
                    let status = await next.answers(1).first?.status
                    await next.close()
                    return status == 200
                })
            for caller in callers { await caller.close() }
        }
    }

    @Test("answers 503 past the requests that it takes at once, on its own port")
    func requests() async throws {
        try await TestInstallation.run(settings: {
            $0.edge.requests = 1
            // A hash of a second or two.
            $0.argon2 = (try? Argon2Parameters(memoryKiB: 65_536, iterations: 8, parallelism: 1)) ?? .standard
            $0.hashingMemoryKiB = 65_536
        }) { it in
            let node = it.node
            async let slow = node.post("/auth/register", ["username": "ada", "password": "correct horse"])
            let refused = Mutex<TestNode.Answer?>(nil)
            let came = try await becomesTrue {
                let answer = try await node.get("/livez")
                if answer.status == 503 { refused.withLock { $0 = answer } }
                return answer.status == 503
            }
            #expect(came)
            let answer = try #require(refused.withLock { $0 })
            #expect(answer["code"] == "overloaded" && answer.headers.first(name: "retry-after") == "1")
            #expect(try await slow.status == 201)
            #expect(try await node.get("/livez").status == 200)
        }
    }

    @Test("answers what is under way at a shutdown, says that it is the last, and takes nothing more")
    func drain() async throws {
        try await TestInstallation.run(settings: {
            $0.argon2 = (try? Argon2Parameters(memoryKiB: 65_536, iterations: 8, parallelism: 1)) ?? .standard
            $0.hashingMemoryKiB = 65_536
        }) { it in
            let port = it.node.port
            let idle = try await RawCaller.connect(port: port)
            idle.send(Self.livez)
            #expect(await idle.answers(1).count == 1)
            let busy = try await RawCaller.connect(port: port)
            let body = #"{"username":"ada","password":"correct horse"}"#
            busy.send(
                "POST /auth/register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
                    + "\(body.utf8.count)\r\n\r\n\(body)")
            let hasher = it.node.installation.users.hasher
            #expect(await becomesTrue { hasher.load.running > 0 })

            let start = ContinuousClock.now
            await it.node.stop()
            #expect(ContinuousClock.now - start < .seconds(10))
            #expect(await idle.closes() && idle.answers.count == 1)
            #expect(await busy.closes())
            #expect(busy.answers.map(\.status) == [201] && busy.answers.first?["connection"] == "close")
            await #expect(throws: (any Error).self) { try await RawCaller.connect(port: port) }
        }
    }
}
