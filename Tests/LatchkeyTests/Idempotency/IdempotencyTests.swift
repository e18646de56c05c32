import HTTPTypes
import JOSE
import LatchkeyTesting
import LibCrypto
import NIOHTTP1
import Postgres
import Testing

@testable import Latchkey

/// A call that creates something, sent again under the same `Idempotency-Key`.
@Suite("A request that names itself")
struct IdempotencyTests {
    enum What: CaseIterable, Sendable {
        case register, user, role, client

        var path: String {
            switch self {
            case .register: "/auth/register"
            case .user: "/admin/users"
            case .role: "/admin/roles"
            case .client: "/admin/clients"
            }
        }

        func body(_ name: String = "dave") -> JSONValue {
            switch self {
            case .register, .user: ["username": .string(name), "password": "correct horse"]
            case .role: ["name": .string(name), "scopes": ["orders:read"]]
            case .client: ["client_name": .string(name), "scope": "orders:read"]
            }
        }

        var count: Query {
            switch self {
            case .register, .user: "SELECT count(*) AS count FROM users WHERE username = 'dave'"
            case .role: "SELECT count(*) AS count FROM roles WHERE name = 'dave'"
            case .client: "SELECT count(*) AS count FROM clients WHERE name = 'dave'"
            }
        }
    }

    private func send(
        _ what: What, _ keys: String..., body: JSONValue? = nil, bearer: String, on node: TestNode
    ) async throws -> TestNode.Answer {
        let authorization = what == .register ? [] : [("authorization", "Bearer \(bearer)")]
        return try await node.send(
            .POST, what.path,
            headers: authorization + [("content-type", "application/json")] + keys.map { ("idempotency-key", $0) },
            body: (body ?? what.body()).encoded())
    }

    private func rows(_ it: TestInstallation) async throws -> Int64 {
        try await it.database.query("SELECT count(*) AS count FROM idempotency_keys").one().decode("count")
    }

    @Test(arguments: What.allCases) func `creates once, and is answered the same each time on every node`(
        what: What
    ) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let bearer = try await it.node.administrator()
            let first = try await send(what, "\"8e03978e-40d5\"", bearer: bearer, on: it.node)
            #expect(first.status == 201)
            for node in it.nodes {
                // With quotes and without: many clients leave them out.
                for key in ["\"8e03978e-40d5\"", "8e03978e-40d5"] {
                    let again = try await send(what, key, bearer: bearer, on: node)
                    #expect(again.status == 201)
                    #expect(again.json == first.json)
                    #expect(again.header("location") == first.header("location"))
                    #expect(again.header("cache-control") == "no-store")
                }
            }
            #expect(try await it.database.query(what.count).one().decode("count", as: Int64.self) == 1)
            #expect(try await rows(it) == 1)
            if what == .client {
                let token = try await RegisteredClient(first).token(it.nodes[1])
                #expect(token.status == 200, "the secret that was answered twice is the client's")
            }
        }
    }

    @Test(arguments: What.allCases) func `is not another one`(what: What) async throws {
        try await TestInstallation.run { it in
            let bearer = try await it.node.administrator()
            #expect(try await send(what, "k", bearer: bearer, on: it.node).status == 201)
            let other = try await send(what, "k", body: what.body("erin"), bearer: bearer, on: it.node)
            #expect(other.status == 422)
            #expect(other["code"] == "invalid-field")
            #expect(other["field"] == "Idempotency-Key")
            // White space says nothing.
            let spaced = try await it.node.send(
                .POST, what.path,
                headers: [
                    ("authorization", "Bearer \(bearer)"), ("content-type", "application/json"),
                    ("idempotency-key", "k"),
                ], body: what.body().encoded() + Array(" \n".utf8))
            #expect(spaced.status == 201)
            // Nor does it stand for a request without a name, or of another name.
            let unnamed = try await send(what, bearer: bearer, on: it.node)
            #expect(unnamed.status == (what == .client ? 201 : 409))
            #expect(try await rows(it) == 1)
        }
    }

    @Test func `is its caller's own, and its route's`() async throws {
        try await TestInstallation.run { it in
            let one = try await it.node.administrator("one")
            let two = try await it.node.administrator("two")
            let body = What.client.body()
            let first = try await send(.client, "k", body: body, bearer: one, on: it.node)
            let second = try await send(.client, "k", body: body, bearer: two, on: it.node)
            #expect(first.status == 201 && second.status == 201)
            #expect(first["client_id"] != second["client_id"])
            let user = try await send(.user, "k", bearer: one, on: it.node)
            #expect(user.status == 201)
            #expect(try await rows(it) == 3)
        }
    }

    @Test(arguments: [
        "", "\"\"", "\"", "a b", "\"a b\"", "a\"b", "a\\b", "ü", String(repeating: "k", count: 129),
    ]) func `by a name that is none is refused before anything is done`(key: String) async throws {
        try await TestInstallation.run { it in
            let answer = try await send(.register, key, bearer: "", on: it.node)
            #expect(answer.status == 400)
            #expect(answer["code"] == "invalid-request")
            #expect(try await it.database.query(What.register.count).one().decode("count", as: Int64.self) == 0)
        }
    }

    @Test func `by two names is refused, by a long one served`() async throws {
        try await TestInstallation.run { it async throws in
            #expect(try await send(.register, "a", "b", bearer: "", on: it.node).status == 400)
            let long = String(repeating: "~", count: 128)
            #expect(try await send(.register, long, bearer: "", on: it.node).status == 201)
        }
    }

    @Test func `that was refused is looked at anew`() async throws {
        try await TestInstallation.run { it in
            let bearer = try await it.node.administrator()
            #expect(try await it.node.newUser("dave").status == 200)
            #expect(try await send(.user, "k", bearer: bearer, on: it.node)["code"] == "username-taken")
            #expect(try await rows(it) == 0)
            try await it.database.query("UPDATE users SET username = 'other' WHERE username = 'dave'")
            #expect(try await send(.user, "k", bearer: bearer, on: it.node).status == 201)
        }
    }

    @Test func `by many at once creates one, and nobody is told otherwise`() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let bearer = try await it.node.administrator()
            for what in [What.register, .client] {
                let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                    for number in 0..<16 {
                        group.addTask { try await send(what, "k", bearer: bearer, on: it.nodes[number % 2]) }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                let created = answers.filter { $0.status == 201 }
                #expect(!created.isEmpty)
                #expect(created.allSatisfy { $0.json == created.first?.json })
                for answer in answers where answer.status != 201 {
                    #expect(answer.status == 409)
                    #expect(answer["code"] == "idempotency-key-in-use")
                }
                #expect(try await it.database.query(what.count).one().decode("count", as: Int64.self) == 1)
            }
        }
    }

    @Test func `leaves nothing in the database that opens without its name`() async throws {
        try await TestInstallation.run { it in
            let bearer = try await it.node.administrator()
            let name = "4d0c5e1a-name-of-the-request"
            let answer = try await send(.client, name, bearer: bearer, on: it.node)
            let row = try await it.database.query(
                "SELECT id, salt, master_key, request, answer FROM idempotency_keys"
            ).one()
            var stored: [UInt8] = []
            for column in ["id", "salt", "request", "answer"] {
                stored += try row.decode(column, as: Bytes.self).bytes
            }
            for secret in [name, answer["client_secret"], "orders:read"] {
                #expect(stored.firstRange(of: Array(secret.utf8)) == nil, "\(secret)")
            }
            // Whoever holds the master key, too, lacks the name.
            let secret = try #require(it.node.installation.masterKeys.idempotencySecret(version: 1))
            let (salt, sealed): (Bytes, Bytes) = (try row.decode("salt"), try row.decode("answer"))
            let id: Bytes = try row.decode("id")
            var headers = HTTPFields()
            headers[try #require(HTTPField.Name("Idempotency-Key"))] = "another"
            let other = NamedRequest(
                try #require(try IdempotencyKey(headers)), from: "user:x", to: "POST /admin/clients")
            #expect(throws: CryptoError.notAuthentic) {
                try AES256GCM.open(
                    sealed.bytes, key: try other.sealingKey(secret, salt: salt.bytes), associatedData: id.bytes)
            }
        }
    }

    @Test func `is forgotten after a day, and swept then`() async throws {
        try await TestInstallation.run { it in
            let bearer = try await it.node.administrator()
            let first = try await send(.client, "k", bearer: bearer, on: it.node)
            let left: Int64 = try await it.database.query(
                "SELECT extract(epoch FROM expires_at - clock_timestamp())::bigint AS left FROM idempotency_keys"
            ).one().decode("left")
            #expect((86_000...86_400).contains(left))
            try await it.node.installation.idempotency.keepHouse()
            #expect(try await rows(it) == 1)
            try await it.database.query("UPDATE idempotency_keys SET expires_at = clock_timestamp()")
            let second = try await send(.client, "k", bearer: bearer, on: it.node)
            #expect(second.status == 201)
            #expect(second["client_id"] != first["client_id"])
            #expect(try await send(.client, "k", bearer: bearer, on: it.node).json == second.json)
            try await it.database.query("UPDATE idempotency_keys SET expires_at = clock_timestamp()")
            try await it.node.installation.idempotency.keepHouse()
            #expect(try await rows(it) == 0)
        }
    }

    @Test(.eachAnswerCounts) func `whose master key is gone is not done again`() async throws {
        try await TestInstallation.run { it in
            let bearer = try await it.node.administrator()
            #expect(try await send(.role, "k", bearer: bearer, on: it.node).status == 201)
            try await it.database.query("UPDATE idempotency_keys SET master_key = 7")
            let unknown = try await send(.role, "k", bearer: bearer, on: it.node)
            #expect(unknown.status == 503)
            #expect(unknown.header("retry-after") != nil)
            #expect(try await it.database.query(What.role.count).one().decode("count", as: Int64.self) == 1)
        }
    }

    enum Fate: CaseIterable, Sendable { case committed, lost }
    static let fates = What.allCases.flatMap { what in Fate.allCases.map { (what, $0) } }

    /// Its COMMIT was sent, and its answer lost; or its connection ended before.
    @Test(.eachAnswerCounts, arguments: fates) func `of unknown outcome is found out, or sent again without harm`(
        what: What, fate: Fate
    ) async throws {
        try await TestInstallation.run { it in
            let relay = try Relay(to: it.connectionString)
            defer { relay.close() }
            let node = try await it.node(behind: relay)
            let bearer = try await it.node.administrator()
            // Connected, and prepared.
            for name in ["erin", "fred"] {
                #expect(
                    try await send(what, name, body: what.body(name), bearer: bearer, on: node).status == 201)
            }
            let sending = try await whileCommitsAreHeld(it) {
                let sending = Task { try await send(what, "k", bearer: bearer, on: node) }
                try #require(await becomesTrue { try await waiting(it).count == 1 })
                if fate == .committed {
                    relay.set(.mute)
                } else {
                    try await it.database.query(
                        "SELECT pg_terminate_backend(pid) FROM unnest(\(try await waiting(it))) AS pid")
                }
                return sending
            }
            let told = try await sending.value
            relay.set(.open)
            #expect(told.status == 201 || told.status == 503)
            #expect(told.status == 201 || told.header("retry-after") != nil)
            let again = try await becomes { () -> TestNode.Answer? in
                let answer = try await send(what, "k", bearer: bearer, on: node)
                return answer.status == 503 ? nil : answer
            }
            #expect(again?.status == 201)
            if told.status == 201 { #expect(again?.json == told.json) }
            #expect(try await it.database.query(what.count).one().decode("count", as: Int64.self) == 1)
            await node.stop()
        }
    }

    /// Backends whose COMMIT waits.
    private func waiting(_ it: TestInstallation) async throws -> [Int32] {
        try await it.database.query(
            """
            SELECT pid FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
            """
        ).rows.map { try $0.decode("pid") }
    }

    /// Lets every COMMIT of a row of the table wait until `body` is over.
    private func whileCommitsAreHeld<R: Sendable>(
        _ it: TestInstallation, _ body: @Sendable () async throws -> R
    ) async throws -> R {
        let holder = Database.patient(it.connectionString)
        defer { holder.shutDown() }
        for statement: Query in [
            """
            CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$
            """,
            """
            CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON idempotency_keys DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait_at_commit()
            """,
        ] { try await holder.query(statement) }
        return try await holder.transaction(timeout: 20_000_000_000) { transaction in
            try await transaction.hold("SELECT pg_advisory_xact_lock(42)::text")
            let result = try await body()
            try await transaction.commit()
            return result
        }
    }
}
