import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

/// Every journey that writes, while no standby confirms a commit: what it wrote is there, and a failover would take it back.
@Suite("A commit that no standby has confirmed", .timeLimit(.minutes(5)), .eachAnswerCounts)
struct StandbyWaitTests {
    /// How the wait ends.
    enum End: String, CaseIterable, Sendable {
        /// `pg_cancel_backend`: the commit stands here, and the server warns (01000).
        case cancelled
        /// `pg_terminate_backend`: the connection breaks with COMMIT under way.
        case broken
        /// Not at all, within the statement's time.
        case late
    }

    /// What is asked, and what it is answered again once standbys confirm.
    private struct Journey: Sendable {
        let name: String
        let method: HTTPMethod
        let path: String
        var body: JSONValue?
        var form: [(String, String)]?
        let bearer: String?
        var key: String?
        /// Where the first is found done.
        var again: Int?
    }

    private struct Ground: Sendable {
        let node: TestNode
        let administrator: String

        func tokens(_ name: String) async throws -> TestNode.Answer {
            let tokens = try await node.newUser(name)
            try #require(tokens.status == 200)
            return tokens
        }

        func sent(_ path: String, _ body: JSONValue) async throws -> TestNode.Answer {
            let answer = try await node.post(path, body, bearer: administrator)
            try #require(answer.status == 201)
            return answer
        }
    }

    private static func journeys(_ it: Ground) async throws -> [Journey] {
        let admin = it.administrator
        func post(_ name: String, _ path: String, _ body: JSONValue? = nil, key: String? = nil, again: Int? = nil)
            -> Journey
        {
            Journey(name: name, method: .POST, path: path, body: body, bearer: admin, key: key, again: again)
        }
        let account: JSONValue = ["username": "reg", "password": "correct horse"]
        var list: [Journey] = [
            Journey(
                name: "register", method: .POST, path: "/auth/register", body: account, bearer: nil, again: 409),
            Journey(
                name: "register once", method: .POST, path: "/auth/register",
                body: ["username": "reg1", "password": "correct horse"], bearer: nil, key: "r"),
            post("create a user", "/admin/users", ["username": "made"], key: "u"),
            post("create a role", "/admin/roles", ["name": "made", "scopes": ["a:b"]], key: "r"),
            post("create a client", "/admin/clients", ["client_name": "made"], key: "c"),
        ]
        _ = try await it.tokens("login")
        list.append(
            Journey(
                name: "log in", method: .POST, path: "/auth/login",
                body: ["username": "login", "password": "correct horse"], bearer: nil))
        let refreshing = try await it.tokens("refreshing")
        list.append(
            Journey(
                name: "refresh", method: .POST, path: "/oauth2/token",
                form: [("grant_type", "refresh_token"), ("refresh_token", refreshing.refresh)], bearer: nil))
        let byToken = try await it.tokens("by-token")
        list += [byToken.access, byToken.refresh].map {
            Journey(name: "revoke", method: .POST, path: "/oauth2/revoke", form: [("token", $0)], bearer: nil)
        }
        let leaving = try await it.tokens("leaving")
        list.append(
            Journey(name: "log out", method: .POST, path: "/auth/logout", bearer: leaving.access, again: 401))
        let ended = try await it.tokens("ended")
        list.append(
            Journey(
                name: "end a session", method: .DELETE, path: "/admin/sessions/\(try ended.sid.text)", bearer: admin))
        let changing = try await it.tokens("changing")
        list.append(
            Journey(
                name: "change the password", method: .POST, path: "/account/password",
                body: ["current": "correct horse", "new": "battery staple"], bearer: changing.access, again: 401))
        for name in ["one", "two", "three", "four"] { _ = try await it.tokens(name) }
        _ = try await it.sent("/admin/roles", ["name": "reader", "scopes": ["a:b", "c:d"]])
        _ = try await it.sent("/admin/roles", ["name": "going", "scopes": ["a:b"]])
        list += [
            post("disable", "/admin/users/one/disable"), post("enable", "/admin/users/one/enable"),
            post("set a password", "/admin/users/two/password", ["new": "battery staple"]),
            Journey(name: "grant", method: .PUT, path: "/admin/users/three/roles/reader", bearer: admin),
            Journey(
                name: "narrow a role", method: .PUT, path: "/admin/roles/reader", body: ["scopes": ["a:b"]],
                bearer: admin),
            Journey(
                name: "take a role", method: .DELETE, path: "/admin/users/three/roles/reader", bearer: admin, again: 404
            ),
            Journey(name: "delete a role", method: .DELETE, path: "/admin/roles/going", bearer: admin, again: 404),
            post("revoke a user", "/admin/revocations", ["user": "four", "reason": "a test"]),
        ]
        let client = try await it.sent("/admin/clients", ["client_name": "machine", "scope": "a:b c:d"])["client_id"]
        list += [
            Journey(
                name: "narrow a client", method: .PATCH, path: "/admin/clients/\(client)", body: ["scope": "a:b"],
                bearer: admin),
            post("rotate a secret", "/admin/clients/\(client)/secret", key: "s"),
            post("disable a client", "/admin/clients/\(client)/disable"),
            post("enable a client", "/admin/clients/\(client)/enable"),
        ]
        let keys = try await it.node.get("/admin/keys", bearer: admin).json["items"]?.array ?? []
        func kid(_ state: String) throws -> String {
            try #require(
                keys.compactMap(\.object).first { $0["state"]?.string == state }?["kid"]?.string)
        }
        list += [
            post("rotate the key", "/admin/keys/rotate", ["from": .string(try kid("active"))]),
            post(
                "compromise a key", "/admin/keys/\(try kid("published"))/compromise",
                ["reason": "a test", "confirm": true]),
        ]
        return list
    }

    @Test(arguments: End.allCases) func `is never acknowledged, and asked again the call is safe`(end: End) async throws
    {
        try await HistoryScene.run { scene, cluster in
            try await scene.withNodes(1, cluster.connectionString) { nodes in
                let node = nodes[0]
                let ground = Ground(node: node, administrator: try await node.administrator())
                for journey in try await Self.journeys(ground) {
                    let (told, spent) = try await whileNobodyConfirms(cluster, end) {
                        let start = ContinuousClock.now
                        return (try await send(journey, to: node), ContinuousClock.now - start)
                    }
                    #expect(told.status == 503, "\(journey.name)")
                    #expect(spent < answerLimit, "\(journey.name)")
                    #expect(told.header("retry-after") != nil, "\(journey.name)")
                    #expect(
                        try await becomesTrue { try await node.get("/readyz").status == 200 }, "\(journey.name)")
                    // The first is told before its commit has ended, and a second one under its key to come again.
                    let again = try await becomes { () -> TestNode.Answer? in
                        let answer = try await send(journey, to: node)
                        return answer.status == 503 || answer["code"] == "idempotency-key-in-use" ? nil : answer
                    }
                    let status = again?.status ?? 0
                    #expect((200..<300).contains(status) || status == journey.again, "\(journey.name): \(status)")
                }
                // Done, and done once.
                let made = "SELECT count(*) AS value FROM users WHERE username IN ('reg', 'reg1', 'made')"
                #expect(try await cluster.value(made, as: Int64.self) == 3)
                #expect(
                    try await cluster.value(
                        "SELECT count(*) AS value FROM clients WHERE name = 'made'", as: Int64.self) == 1)
                // The secret that was made is the one that was told, and not one that a second try has replaced.
                #expect(
                    try await cluster.value(
                        "SELECT count(*) AS value FROM audit_events WHERE action = 'client.secret-rotated'",
                        as: Int64.self) == 1)
                #expect(try await node.logIn("changing", "battery staple").status == 200)
                #expect(
                    try await cluster.value(
                        "SELECT count(*) AS value FROM revoked_keys", as: Int64.self) == 1)
            }
        }
    }

    private func send(_ journey: Journey, to node: TestNode) async throws -> TestNode.Answer {
        var headers = journey.bearer.map { [("authorization", "Bearer \($0)")] } ?? []
        if let key = journey.key { headers.append(("idempotency-key", key)) }
        if let form = journey.form {
            return try await node.send(form: form, to: journey.path, headers: headers)
        }
        if journey.body != nil { headers.append(("content-type", "application/json")) }
        return try await node.send(journey.method, journey.path, headers: headers, body: journey.body?.encoded())
    }

    /// Runs `request` while every commit waits for a standby that is not there, and its wait ends so.
    private func whileNobodyConfirms<R: Sendable>(
        _ cluster: OwnCluster, _ end: End, _ request: @escaping @Sendable () async throws -> R
    ) async throws -> R {
        try await cluster.administer(
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
        let administration = Database.patient(cluster.connectionString)
        defer { administration.shutDown() }
        let waiting: Query = """
            SELECT pid FROM pg_stat_activity
            WHERE wait_event = 'SyncRep' AND (application_name LIKE 'latchkey %' OR application_name = 'probe')
            """
        // The setting has reached the server where a commit waits.
        var probing = DatabaseConfiguration(connectionString: cluster.connectionString)
        probing.applicationName = "probe"
        let probe = Database(probing)
        try #require(
            try await becomesTrue {
                let commit = Task { try await probe.query("SELECT pg_logical_emit_message(true, 'probe', '')::text") }
                let waits = try await becomesTrue(within: .milliseconds(100)) {
                    try await administration.query(waiting).count > 0
                }
                if waits { probe.shutDown() }
                _ = await commit.result
                return waits
            })
        let sending = Task {
            defer { probe.shutDown() }
            return try await request()
        }
        let ending = Task {
            let how: Query =
                switch end {
                case .cancelled: "SELECT pg_cancel_backend(pid)::text FROM (\(waiting)) AS w"
                case .broken: "SELECT pg_terminate_backend(pid)::text FROM (\(waiting)) AS w"
                case .late: "SELECT 1"
                }
            while !Task.isCancelled {
                try await administration.query(how)
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        let answer = await sending.result
        ending.cancel()
        _ = await ending.result
        try await cluster.administer("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        return try answer.get()
    }
}
