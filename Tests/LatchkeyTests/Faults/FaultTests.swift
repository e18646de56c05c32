import JOSE
import Latchkey
import LatchkeyTesting
import Logging
import Postgres
import Synchronization
import Testing

/// What one request was answered, and after how long.
private struct Answered: Sendable {
    let what: String
    let status: Int
    let saysWhen: Bool
    let after: Duration
}

/// Clients that go on asking, each on its own account or session, whatever they are told.
private final class Load: Sendable {
    private let node: TestNode
    private let answers = Mutex<[Answered]>([])
    private let isOver = Atomic(false)
    /// Refresh tokens whose revocation was acknowledged.
    private let revoked = Mutex<[String]>([])
    private let number = Atomic(0)

    init(_ node: TestNode) { self.node = node }

    func end() { isOver.store(true, ordering: .relaxed) }

    func takeAnswers() -> [Answered] {
        answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
    }

    var acknowledged: [String] { revoked.withLock { $0 } }

    func ask(_ what: String, _ body: () async throws -> TestNode.Answer) async throws -> TestNode.Answer {
        let start = ContinuousClock.now
        let answer = try await body()
        let answered = Answered(
            what: what, status: answer.status, saysWhen: answer.header("retry-after") != nil,
            after: ContinuousClock.now - start)
        answers.withLock { $0.append(answered) }
        return answer
    }

    /// Refreshes in a chain: refused for now, it presents the same token again, as a client does.
    func refresh(_ first: String) async throws -> String {
        var token = first
        while !isOver.load(ordering: .relaxed) {
            let answer = try await ask("refresh") { try await node.refresh(token) }
            if answer.status == 200 { token = answer["refresh_token"] }
            try await Task.sleep(for: .milliseconds(20))
        }
        return token
    }

    func readAccount(_ access: String) async throws {
        while !isOver.load(ordering: .relaxed) {
            _ = try await ask("account") { try await node.get("/account", bearer: access) }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func register() async throws {
        while !isOver.load(ordering: .relaxed) {
            let name = "load-\(number.wrappingAdd(1, ordering: .relaxed).newValue)"
            _ = try await ask("register") {
                try await node.post("/auth/register", ["username": .string(name), "password": "correct horse"])
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Ends many sessions, by each of `paths`, on accounts that nobody else uses.
    func endMany(_ calls: [(what: String, path: String, body: JSONValue?)], bearer: String) async throws {
        while !isOver.load(ordering: .relaxed) {
            for call in calls {
                _ = try await ask(call.what) { try await node.post(call.path, call.body, bearer: bearer) }
                try await Task.sleep(for: .milliseconds(30))
            }
        }
    }

    /// Logs in, and revokes each session until that is acknowledged.
    func logInAndRevoke(_ name: String) async throws {
        while !isOver.load(ordering: .relaxed) {
            let session = try await ask("log in") { try await node.logIn(name) }
            if session.status == 200 {
                let token = session["refresh_token"]
                var status = 503
                while status == 503, !isOver.load(ordering: .relaxed) {
                    status = try await ask("revoke") { try await node.revoke(token) }.status
                    if status == 200 { revoked.withLock { $0.append(token) } }
                }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

@Suite("A node under a fault of its database", .timeLimit(.minutes(5)), .eachAnswerCounts)
struct FaultTests {
    @Test("hangs nobody, grants nothing that it should not, says so, and heals by itself", arguments: Fault.allCases)
    func fault(_ fault: Fault) async throws {
        try await TestInstallation.run { it in
            try await OwnCluster.run(options: ["max_connections": "\(Fault.slots)"], migrations: Migrations.all) {
                cluster in
                let relay = try Relay(to: cluster.connectionString)
                defer { relay.close() }
                var settings = it.settings
                settings.databaseURL = relay.connectionString
                let node = try await TestNode.start(
                    Installation(
                        settings, masterKeys: it.node.installation.masterKeys,
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
                let result: Result<Void, any Error>
                do { result = .success(try await journey(fault, cluster, relay, node)) } catch {
                    result = .failure(error)
                }
                relay.set(.open)
                cluster.thaw()
                await node.stop()
                try result.get()
            }
        }
    }

    private func journey(_ fault: Fault, _ cluster: OwnCluster, _ relay: Relay, _ node: TestNode) async throws {
        let owner = try await node.newUser("owner")
        let reader = try await node.logIn("owner")
        let gone = try await node.logIn("owner")
        #expect(try await node.newUser("visitor").status == 200)
        let changer = try await node.newUser("changer")
        #expect(try await node.newUser("patient").status == 200)
        let administrator = try await node.administrator()
        #expect(try await node.revoke(gone["refresh_token"]).status == 200)
        #expect(try await node.get("/readyz").status == 200)

        let load = Load(node)
        let last = try await withThrowingTaskGroup(of: String?.self) { group in
            group.addTask { try await load.refresh(owner["refresh_token"]) }
            group.addTask {
                try await load.readAccount(reader["access_token"])
                return nil
            }
            group.addTask {
                try await load.register()
                return nil
            }
            group.addTask {
                // To what it is: whoever is not told whether it was done can go on.
                let same: JSONValue = ["current": "correct horse", "new": "correct horse"]
                try await load.endMany(
                    [("change the password", "/account/password", same)], bearer: changer["access_token"])
                return nil
            }
            group.addTask {
                try await load.endMany(
                    [
                        ("disable", "/admin/users/patient/disable", nil),
                        ("enable", "/admin/users/patient/enable", nil),
                        ("revoke a user", "/admin/revocations", ["user": "patient", "reason": "a test"]),
                    ], bearer: administrator)
                return nil
            }
            for _ in 0..<2 {
                group.addTask {
                    try await load.logInAndRevoke("visitor")
                    return nil
                }
            }
            do {
                // The load is on its way, so that the fault comes in the middle of statements.
                #expect(await becomesTrue { load.acknowledged.count > 5 })
                #expect(load.takeAnswers().allSatisfy { $0.status < 300 })
                let end = try await fault.begin(cluster, relay)
                try await look(fault, node, load, revoked: gone)
                try await end()
                try await heal(node, load, reader: reader, revoked: gone)
            } catch {
                Issue.record(error)
            }
            load.end()
            var last: String?
            for try await token in group { last = token ?? last }
            return last
        }

        for answer in load.takeAnswers() { check(answer) }
        // The chain was neither broken nor ended behind its owner's back.
        let after = try await node.refresh(try #require(last))
        #expect(after.status == 200)
        // What was acknowledged stands, whatever was lost on the way.
        #expect(!load.acknowledged.isEmpty)
        for token in load.acknowledged { #expect(try await node.refresh(token).status == 400) }
    }

    /// While the fault lasts.
    private func look(_ fault: Fault, _ node: TestNode, _ load: Load, revoked: TestNode.Answer) async throws {
        let start = ContinuousClock.now
        if fault.mayGrant {
            try await Task.sleep(for: .seconds(3))
        } else {
            let unready = try await becomesTrue {
                let answer = try await load.ask("readyz") { try await node.get("/readyz") }
                return answer.status == 503 && answer.header("retry-after") != nil
            }
            #expect(unready)
            // Two seconds without a tick, and what was under way when the fault began.
            #expect(ContinuousClock.now - start < .seconds(2) + answerLimit)
        }
        #expect(try await load.ask("livez") { try await node.get("/livez") }.status == 200)
        for path in ["/.well-known/openid-configuration", "/.well-known/jwks.json"] {
            #expect(try await load.ask(path) { try await node.get(path) }.status == 200)
        }

        for _ in 0..<3 {
            let account = try await load.ask("revoked") {
                try await node.get("/account", bearer: revoked["access_token"])
            }
            #expect([401, 503].contains(account.status))
            let refresh = try await load.ask("void") { try await node.refresh(revoked["refresh_token"]) }
            #expect([400, 503].contains(refresh.status))
            if !fault.mayGrant { try await expectUnready(node) }
        }
        guard !fault.mayGrant else { return }
        let early = load.takeAnswers()
        early.forEach(check)
        // Nothing that needs the database is granted or acknowledged any more.
        for _ in 0..<10 {
            try await Task.sleep(for: .milliseconds(50))
            try await expectUnready(node)
        }
        let late = load.takeAnswers()
        for answer in late {
            check(answer)
            #expect(answer.status == 503, "\(answer)")
        }
        // Of those who had to wait for the database: the others were told at once.
        let waits = (early + late).filter { $0.status == 503 && $0.after > .milliseconds(500) }.map(\.after).sorted()
        if !waits.isEmpty { #expect(waits[waits.count / 2] <= .seconds(2), "\(waits)") }
    }

    /// A balancer believes it: a node that has found out what is wrong says so as long as it is.
    private func expectUnready(_ node: TestNode) async throws {
        #expect(try await node.get("/readyz").status == 503)
    }

    private func check(_ answer: Answered) {
        #expect(answer.after < answerLimit, "\(answer)")
        #expect(answer.status != 500, "\(answer)")
        if answer.status == 503 { #expect(answer.saysWhen, "\(answer)") }
    }

    /// After its end: full service, by the same process, within five seconds.
    private func heal(_ node: TestNode, _ load: Load, reader: TestNode.Answer, revoked: TestNode.Answer) async throws {
        let start = ContinuousClock.now
        #expect(try await becomesTrue { try await node.get("/readyz").status == 200 })
        for name in [
            "account", "refresh", "log in", "revoke", "register", "change the password", "disable", "revoke a user",
        ] {
            #expect(
                await becomesTrue {
                    load.takeAnswers().contains { $0.what == name && (200..<300).contains($0.status) }
                },
                "\(name)")
        }
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(try await node.get("/account", bearer: revoked["access_token"]).status == 401)
        #expect(try await node.refresh(revoked["refresh_token"]).status == 400)
    }
}
