import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

/// `POST /admin/clients/{client}/secret` under an `Idempotency-Key`: the answer is the one place where the secret stands, and
/// a caller that never got it must not rotate away the secret that it never saw.
@Suite("A secret's rotation that names itself")
struct SecretRotationTests {
    private func rotate(
        _ client: String, key: String, _ body: JSONValue? = nil, bearer: String, on node: TestNode
    ) async throws -> TestNode.Answer {
        let type = body == nil ? [] : [("content-type", "application/json")]
        return try await node.send(
            .POST, "/admin/clients/\(client)/secret",
            headers: [("authorization", "Bearer \(bearer)"), ("idempotency-key", key)] + type, body: body?.encoded())
    }

    @Test(arguments: [nil, 0, 3600] as [Int64?]) func `is made once, and the same secret is told on every node`(
        seconds: Int64?
    ) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let bearer = try await it.node.administrator()
            let before = try await it.node.newClient(bearer, scope: "users:read")
            let token = try await before.token(it.node)["access_token"]
            let body = seconds.map { ["expire_old_after": .integer($0)] as JSONValue }
            let first = try await rotate(before.id, key: "k", body, bearer: bearer, on: it.node)
            #expect(first.status == 200)
            for node in it.nodes.reversed() {
                let again = try await rotate(before.id, key: "k", body, bearer: bearer, on: node)
                #expect(again.status == 200)
                #expect(again.json == first.json)
                #expect(again.header("location") == nil)
                #expect(again.header("cache-control") == "no-store")
                for answer in [first, again] {
                    #expect((answer.header("latchkey-position") != nil) == (seconds == 0))
                }
                // Whoever answers that all has ended enforces it.
                #expect(try await node.takes(token) == (seconds != 0))
            }
            #expect(try await RegisteredClient(first).token(it.nodes[1]).status == 200)
            #expect(try await before.token(it.node).status == (seconds == 0 ? 401 : 200))
            #expect(try await it.audited("client.secret-rotated", "client:\(before.id)") == 1)
        }
    }

    @Test func `of another client, of another body or by another caller is another one`() async throws {
        try await TestInstallation.run { it in
            let (bearer, other) = (try await it.node.administrator(), try await it.node.administrator("other"))
            let client = try await it.node.newClient(bearer)
            let neighbour = try await it.node.newClient(bearer)
            let first = try await rotate(client.id, key: "k", bearer: bearer, on: it.node)
            #expect(first.status == 200)
            for answer in [
                try await rotate(neighbour.id, key: "k", bearer: bearer, on: it.node),
                try await rotate(client.id, key: "k", ["expire_old_after": 0], bearer: bearer, on: it.node),
            ] {
                #expect(answer.status == 422)
                #expect(answer["field"] == "Idempotency-Key")
                #expect(answer.json["client_secret"] == nil)
            }
            #expect(try await neighbour.token(it.node).status == 200)
            #expect(try await RegisteredClient(first).token(it.node).status == 200)
            let theirs = try await rotate(client.id, key: "k", bearer: other, on: it.node)
            #expect(theirs.status == 200)
            #expect(theirs["client_secret"] != first["client_secret"])
            #expect(try await it.audited("client.secret-rotated", "client:\(client.id)") == 2)
        }
    }

    @Test func `by many at once makes one secret, and nobody is told another`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let bearer = try await it.node.administrator()
            let client = try await it.node.newClient(bearer)
            let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for number in 0..<16 {
                    group.addTask { try await rotate(client.id, key: "k", bearer: bearer, on: it.nodes[number % 2]) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let made = answers.filter { $0.status == 200 }
            #expect(!made.isEmpty)
            #expect(made.allSatisfy { $0.json == made.first?.json })
            for answer in answers where answer.status != 200 {
                #expect(answer.status == 409)
                #expect(answer["code"] == "idempotency-key-in-use")
            }
            #expect(try await it.audited("client.secret-rotated", "client:\(client.id)") == 1)
        }
    }

    /// A commit that ends sessions may take longer than a request waits for the database: what is done is told, for nobody
    /// will see that secret again.
    @Test(.eachAnswerCounts) func `and takes long tells the secret and the position of its own commit`() async throws {
        try await TestInstallation.run(patience: 2_000_000_000) { it in
            let bearer = try await it.node.administrator()
            let client = try await it.node.newClient(bearer, scope: "users:read")
            let token = try await client.token(it.node)["access_token"]
            let answer = try await it.whileLocked(
                "SELECT seq FROM feed_head FOR UPDATE", for: 3,
                isFree: "SELECT seq FROM feed_head FOR UPDATE SKIP LOCKED"
            ) {
                try await it.node.post(
                    "/admin/clients/\(client.id)/secret", ["expire_old_after": 0], bearer: bearer)
            }
            #expect(answer.status == 200)
            let head = try FeedPosition(try await it.database.query("SELECT epoch, seq, digest FROM feed_head").one())
            #expect(answer.header("latchkey-position") == head.word)
            #expect(try await RegisteredClient(answer).token(it.node).status == 200)
            #expect(try await it.node.takes(token) == false)
        }
    }

    /// Told again by a node that cannot read what ended the first time, it can be asked for once more: that node would take
    /// for alive what it says has ended.
    @Test(.eachAnswerCounts) func `told again by a node that cannot read the list is 503, and can be told later`()
        async throws
    {
        try await TestInstallation.run(nodes: 2, patience: 2_000_000_000) { it in
            let bearer = try await it.node.administrator()
            let client = try await it.node.newClient(bearer)
            let body: JSONValue = ["expire_old_after": 0]
            let first = try await rotate(client.id, key: "k", body, bearer: bearer, on: it.node)
            #expect(first.status == 200)
            let isFree: Query = """
                SELECT 1
                WHERE NOT EXISTS (
                    SELECT FROM pg_locks
                    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
                      AND relation = 'feed_head'::regclass AND mode = 'AccessExclusiveLock' AND granted)
                """
            let held = try await it.whileLocked(
                "LOCK TABLE feed_head IN ACCESS EXCLUSIVE MODE", for: 6, isFree: isFree
            ) {
                try await rotate(client.id, key: "k", body, bearer: bearer, on: it.nodes[1])
            }
            #expect(held.status == 503)
            let told = try await becomes {
                let answer = try await rotate(client.id, key: "k", body, bearer: bearer, on: it.nodes[1])
                return answer.status == 200 ? answer : nil
            }
            #expect(told?["client_secret"] == first["client_secret"])
            #expect(told?.header("latchkey-position") != nil)
        }
    }

    @Test func `that is refused is looked at anew`() async throws {
        try await TestInstallation.run { it in
            let bearer = try await it.node.administrator()
            let client = try await it.node.newClient(bearer)
            let tooLong: JSONValue = ["expire_old_after": 2_592_001]
            #expect(try await rotate(client.id, key: "k", tooLong, bearer: bearer, on: it.node).status == 422)
            #expect(try await rotate("nobody", key: "k", bearer: bearer, on: it.node).status == 404)
            #expect(try await rotate(client.id, key: "a b", bearer: bearer, on: it.node).status == 400)
            let rows: Int64 = try await it.database.query("SELECT count(*) AS count FROM idempotency_keys").one()
                .decode("count")
            #expect(rows == 0)
            #expect(try await rotate(client.id, key: "k", bearer: bearer, on: it.node).status == 200)
        }
    }
}
