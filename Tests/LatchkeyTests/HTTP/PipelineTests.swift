import Hummingbird
import HummingbirdTesting
import JOSE
import LatchkeyTesting
import Postgres
import Synchronization
import Testing

@testable import Latchkey

@Suite("Requests that share a connection", .timeLimit(.minutes(8)))
struct PipelineTests {
    @Test("answers pipelined requests in their order, the malformed one last, and what follows it never")
    func pipeline() async throws {
        try await TestInstallation.run { it in
            let caller = try await RawCaller.connect(port: it.node.port)
            func get(_ id: String, _ path: String = "/livez") -> String {
                "GET \(path) HTTP/1.1\r\nHost: a\r\nX-Request-Id: \(id)\r\n\r\n"
            }
            let form = "POST /oauth2/revoke HTTP/1.1\r\nHost: a\r\nX-Request-Id: r\r\nContent-Length: 4\r\n\r\nGET "
            caller.send(
                get("a") + form + get("b", "/nowhere") + get("c") + "GET /livez HTTP/1.1\r\nHost a\r\n\r\n" + get("d"))
            #expect(await caller.closes())
            #expect(caller.answers.map(\.status) == [200, 415, 404, 200, 400])
            #expect(caller.answers.prefix(4).map { $0["x-request-id"] } == ["a", "r", "b", "c"])
            #expect(caller.answers.prefix(4).allSatisfy { $0["connection"] == nil })
            #expect(try #require(caller.answers.last).isLastRefusal(400, "invalid-request"))
        }
    }

    @Test("gives leave to send a body, and takes one that did not wait")
    func continuing() async throws {
        try await TestInstallation.run { it in
            let head = """
                POST /oauth2/revoke HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Expect: 100-Continue\r\nContent-Length: 7\r\n\r\n
                """
            let waiting = try await RawCaller.connect(port: it.node.port)
            waiting.send(head)
            #expect(await waiting.answers(1).map(\.status) == [100])
            waiting.send("token=x")
            #expect(await waiting.answers(2).map(\.status) == [100, 200])
            // Behind an answer that is still owed, leave comes after it.
            waiting.send(RawRequest.livez + head)
            #expect(await waiting.answers(4).map(\.status) == [100, 200, 200, 100])
            waiting.send("token=x")
            #expect(await waiting.answers(5).last?.status == 200)
            let hasty = try await RawCaller.connect(port: it.node.port)
            hasty.send(head + "token=x")
            #expect(await hasty.answers(1).map(\.status) == [200])
            for caller in [waiting, hasty] { await caller.close() }
        }
    }

    @Test("says with the last answer that it is the last, and then waits for the caller to close")
    func last() async throws {
        try await TestInstallation.run { it in
            for request in [
                "GET /livez HTTP/1.0\r\n\r\n", "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n",
                "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
            ] {
                let caller = try await RawCaller.connect(port: it.node.port)
                caller.send(request + RawRequest.livez)
                #expect(await caller.closes(), "\(request)")
                #expect(
                    caller.answers.map(\.status) == [200] && caller.answers[0]["connection"] == "close", "\(request)")
            }
            // A caller that ends its half is answered all the same.
            let half = try await RawCaller.connect(port: it.node.port)
            half.send(RawRequest.livez + RawRequest.livez)
            half.endSending()
            #expect(await half.closes())
            #expect(half.answers.map(\.status) == [200, 200])
        }
    }

    @Test func `What follows an answer that closes is not even seen by the router`() async throws {
        let seen = Mutex<[String]>([])
        let router = Router(context: LatchkeyRequestContext.self)
        router.add(middleware: ErrorMiddleware())
        router.post("{name}") { request, context in
            let name = try context.pathParameter("name")
            seen.withLock { $0.append(name) }
            var response = Response.json(["name": .string(name)])
            if name == "last" { response.headers[.connection] = "close" }
            return response
        }
        let app = Application(
            router: router, server: .edge(EdgeLimits()), configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        try await app.test(.live) { client in
            let caller = try await RawCaller.connect(port: try #require(client.port))
            caller.send(["one", "two", "last", "three"].map { RawRequest.post("/\($0)", [:]) }.joined())
            #expect(await caller.closes())
            #expect(caller.answers.map { $0.json["name"]?.string } == ["one", "two", "last"])
            #expect(caller.answers.map { $0["connection"] } == [nil, nil, "close"])
            #expect(seen.withLock { $0 } == ["one", "two", "last"])
        }
    }

    @Test func `A registration behind a request that asks for the close opens no account`() async throws {
        try await TestInstallation.run { it in
            let caller = try await RawCaller.connect(port: it.node.port)
            let ada: JSONValue = ["username": "ada", "password": "correct horse"]
            caller.send(
                RawRequest.post("/auth/login", ada, "Connection: close") + RawRequest.post("/auth/register", ada))
            #expect(await caller.closes())
            #expect(caller.answers.map(\.status) == [401])
            let row = try await it.database.query("SELECT count(*) AS count FROM users WHERE username = 'ada'").one()
            #expect(try row.decode("count", as: Int64.self) == 0)
        }
    }

    @Test func `A refused log in leaves the connection to the next, and so does every other`() async throws {
        try await TestInstallation.run(settings: { $0.guesses.perAccount = 2 }) { it in
            let caller = try await RawCaller.connect(port: it.node.port)
            let right: JSONValue = ["username": "ada", "password": "correct horse"]
            let wrong: JSONValue = ["username": "ada", "password": "wrong horse"]
            for (number, (path, body, status)) in [
                ("/auth/register", right, 201), ("/auth/register", right, 409), ("/auth/login", wrong, 401),
                ("/auth/login", right, 200), ("/auth/login", ["username": "ada"], 400), ("/auth/login", wrong, 401),
                ("/auth/login", right, 429), ("/auth/login", right, 429),
            ].enumerated() {
                caller.send(RawRequest.post(path, body))
                let answers = await caller.answers(number + 1)
                #expect(answers.count == number + 1 && answers.last?.status == status, "\(number)")
                #expect(answers.last?["connection"] == nil, "\(number)")
            }
            // And all at once.
            caller.send((0..<3).map { _ in RawRequest.post("/auth/login", right) }.joined() + RawRequest.livez)
            #expect(await caller.answers(12).suffix(4).map(\.status) == [429, 429, 429, 200])
            await caller.close()
        }
    }

    @Test func `A body that says that it is too long is refused before it comes, and the connection goes on`()
        async throws
    {
        try await TestInstallation.run { it in
            let caller = try await RawCaller.connect(port: it.node.port)
            let length = JSONBody.defaultLimit + 1
            caller.send(
                "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                    + "Content-Length: \(length)\r\n\r\n")
            #expect(await caller.answers(1).map(\.status) == [413])
            caller.send(String(repeating: " ", count: length) + RawRequest.livez)
            #expect(await caller.answers(2).map(\.status) == [413, 200])
            #expect(caller.answers.allSatisfy { $0["connection"] == nil })
            await caller.close()
        }
    }
}
