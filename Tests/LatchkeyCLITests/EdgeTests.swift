import Foundation
import JOSE
import Latchkey
import LatchkeyTesting
import Testing

/// The binary against bytes that are no HTTP, and against callers that drip.
@Suite struct EdgeTests {
    /// In KiB.
    private static func residentMemory(of process: pid_t) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8)
        return try #require(Int(text.split(separator: " ")[1])) * Int(sysconf(Int32(_SC_PAGESIZE))) / 1024
    }

    private static let probe = "GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: probe\r\nConnection: close\r\n\r\n"

    /// Sends a row and then a request whose answer shows where the row ended for the server.
    private static func violations(of row: MalformedRequests.Row, port: Int) async throws -> [String] {
        let caller = try await RawCaller.connect(port: port)
        caller.send(row.bytes + Array(probe.utf8))
        guard await caller.closes(within: .seconds(40)) else {
            await caller.close()
            return ["\(row.name): hangs, after \(caller.answers.map(\.status))"]
        }
        let answers = caller.answers
        var found: [String] = []
        func check(_ holds: Bool, _ what: String) {
            if !holds { found.append("\(row.name): \(what), answers \(answers.map(\.status))") }
        }
        let ids = answers.map { $0["x-request-id"] ?? "" }
        check(!ids.contains("smuggled"), "a smuggled request was answered")
        switch row.expected {
        case .refused(let statuses):
            check(answers.count <= 1, "more than one answer")
            if let answer = answers.first {
                check(statuses.contains(answer.status), "another status")
                check(answer["connection"] == "close", "the connection goes on")
                check(answer["content-type"]?.contains("json") == true, "no problem document")
                check(ids[0].utf8.count == 32, "no request id")
            }
        case .answered(let statuses):
            check(answers.first.map { statuses.contains($0.status) } == true, "another status")
            let goesOn = answers.first?["connection"] != "close"
            check(answers.count == (goesOn ? 2 : 1), "the next request's answer")
            if goesOn { check(ids.last == "probe" && answers.last?.status == 200, "the next request is another") }
        }
        return found
    }

    @Test func `Malformed HTTP is a 4xx or a closed connection, smuggles nothing and leaves the process as it was`()
        async throws
    {
        let rows = MalformedRequests.all
        try #require(rows.count >= 90 && Set(rows.map(\.name)).count == rows.count)
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let node = nodes[0]
                // What the first requests of a process allocate for good is not of the rows' making.
                for _ in 0..<50 { #expect(try await node.site.get("/livez").status == 200) }
                let before = try Self.residentMemory(of: node.process.id)
                let port = node.site.port
                let violations = try await withThrowingTaskGroup(of: [String].self) { group in
                    for row in rows { group.addTask { try await Self.violations(of: row, port: port) } }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                #expect(violations == [])
                #expect(try await node.site.get("/livez").status == 200)
                #expect(node.process.transcript.exit == nil)
                let after = try Self.residentMemory(of: node.process.id)
                #expect(after - before < 50 * 1024, "\(before) KiB became \(after) KiB")
            }
        }
    }

    @Test func `Callers that drip neither starve their neighbours nor stay beyond the deadlines`() async throws {
        // Their sockets and the node's both count; a hard limit below that makes it fewer.
        let count = OpenFiles.makeRoom(for: 2_000)
        #expect(count >= 1_000)
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let node = nodes[0]
                let user = try await node.site.newUser("ada")
                var refresh = user["refresh_token"]
                let before = try Self.residentMemory(of: node.process.id)

                var callers: [RawCaller] = []
                for number in 0..<count {
                    let caller = try await RawCaller.connect(port: node.site.port)
                    // Half of them drip a head, half a body.
                    caller.send(
                        number.isMultiple(of: 2)
                            ? "GET /livez HTTP/1.1\r\nHost: a\r\nX: "
                            : "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                                + "Content-Length: 10000\r\n\r\n")
                    callers.append(caller)
                }
                let all = callers
                let dripping = Task {
                    while !Task.isCancelled {
                        for caller in all where !caller.isClosed { caller.send("a") }
                        try? await Task.sleep(for: .milliseconds(500))
                    }
                }
                // Neighbours meanwhile: plain requests, and refreshes that need the database.
                let connected = ContinuousClock.now
                var times: [Duration] = []
                while ContinuousClock.now - connected < .seconds(6) {
                    let start = ContinuousClock.now
                    let answer = try await Site.$asksAgain.withValue(false) {
                        #expect(try await node.site.get("/livez").status == 200)
                        return try await node.site.refresh(refresh)
                    }
                    #expect(answer.status == 200)
                    refresh = answer["refresh_token"]
                    times.append(.now - start)
                }
                times.sort()
                #expect(times[times.count / 2] < .milliseconds(250), "of \(times.count) pairs")
                #expect(try #require(times.last) < .seconds(3))
                let during = try Self.residentMemory(of: node.process.id)
                #expect(during - before < 50 * 1024, "\(before) KiB became \(during) KiB")

                for caller in all { #expect(await caller.closes(within: .seconds(20))) }
                #expect(ContinuousClock.now - connected < .seconds(20))
                dripping.cancel()
                _ = await dripping.value
                #expect(all.allSatisfy { $0.answers.map(\.status) == [408] })
                #expect(try await node.site.get("/livez").status == 200)
            }
        }
    }

    @Test func `SIGTERM in the middle of a login answers it, and the node ends with 0`() async throws {
        try await ServeGround.run { ground in
            let port = FreePort.next()
            // A hash of a second or two.
            let slow = [
                "LATCHKEY_ARGON2_MEMORY_KIB": "65536", "LATCHKEY_ARGON2_ITERATIONS": "8",
                "LATCHKEY_HASHING_MEMORY_KIB": "65536",
            ]
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(port)"], environment: ground.environment.merging(slow) { $1 })
            _ = try await process.line(after: "ready: ")
            let site = Site(port: port)
            #expect(
                try await site.post("/auth/register", ["username": "ada", "password": "correct horse"]).status == 201)
            let idle = try await RawCaller.connect(port: port)
            let caller = try await RawCaller.connect(port: port)
            let body = #"{"username":"ada","password":"correct horse"}"#
            caller.send(
                "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
                    + "\(body.utf8.count)\r\nExpect: 100-continue\r\n\r\n")
            // Leave to send the body: the request is under way.
            #expect(await caller.answers(1).map(\.status) == [100])
            process.send(SIGTERM)
            #expect(await idle.closes())
            caller.send(body)
            #expect(await caller.closes())
            #expect(caller.answers.map(\.status) == [100, 200] && caller.answers.last?["connection"] == "close")
            #expect(try await process.end(within: 12).exit == .code(0))
        }
    }

    /// What PostgreSQL does while a node drains.
    enum Storage: CaseIterable { case answers, frozen }

    @Test(
        "SIGTERM ends a node with 0 within ten seconds, whatever its callers and its database do",
        arguments: Storage.allCases)
    func drain(storage: Storage) async throws {
        try await ServeGround.run { ground in
            let relay = try Relay(to: ground.connectionString)
            defer { relay.close() }
            let (port, management) = (FreePort.next(), FreePort.next())
            let process = try await LatchkeyBinary.start(
                ["serve", "--port", "\(port)"],
                environment: ground.environment.merging([
                    "LATCHKEY_DATABASE_URL": relay.connectionString, "LATCHKEY_MANAGEMENT_PORT": "\(management)",
                ]) { $1 })
            _ = try await process.line(after: "ready: ")
            // Its last act is to write which keys were used.
            #expect(try await Site(port: port).newUser("ada").status == 200)

            let stream = try await RawCaller.connect(port: port)
            stream.send("GET /revocations/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(await becomesTrue { String(decoding: stream.received, as: UTF8.self).contains("heartbeat") })
            var (dripping, idle): ([RawCaller], [RawCaller]) = ([], [])
            for port in [port, management] {
                let drip = try await RawCaller.connect(port: port)
                drip.send(
                    "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                        + "Content-Length: 16000\r\nExpect: 100-continue\r\n\r\n")
                #expect(await drip.answers(1).map(\.status) == [100])
                dripping.append(drip)
                let kept = try await RawCaller.connect(port: port)
                kept.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(await kept.answers(1).map(\.status) == [200])
                idle.append(kept)
            }
            let callers = dripping
            let drip = Task {
                // More than the least that a body must bring, so that no deadline but the drain's ends it.
                while (try? await Task.sleep(for: .milliseconds(250))) != nil {
                    for caller in callers where !caller.isClosed { caller.send(String(repeating: " ", count: 250)) }
                }
            }
            defer { drip.cancel() }
            if storage == .frozen { relay.set(.held) }

            let begun = ContinuousClock.now
            process.send(SIGTERM)
            #expect(await idle[0].closes(within: .seconds(5)))
            #expect(await stream.closes(within: .seconds(5)))
            #expect(try await process.end(within: 20).exit == .code(0))
            let spent = ContinuousClock.now - begun
            print("drained beside a database that \(storage) in \(spent)")
            #expect(spent <= .seconds(10))
            #expect(spent >= .seconds(5), "what was under way was given no time")
        }
    }
}
