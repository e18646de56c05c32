import JOSE
import Latchkey
import LatchkeyTesting
import NIOHTTP1
import Postgres
import Testing

/// What ends the tokens of a client.
enum ClientEnding: String, CaseIterable, Sendable {
    case disable, dropSecret, takeScope, takeGrant, revokeClient, revokeAll

    /// The audit row beside.
    func event(_ client: RegisteredClient) -> (action: String, target: String) {
        switch self {
        case .disable: ("client.disabled", "client:\(client.id)")
        case .dropSecret: ("client.secret-rotated", "client:\(client.id)")
        case .takeScope, .takeGrant: ("client.changed", "client:\(client.id)")
        case .revokeClient: ("sessions.revoked", "client:\(client.id)")
        case .revokeAll: ("sessions.revoked", "all")
        }
    }

    /// What stands in the rows of the sessions that end with it.
    var cause: String {
        switch self {
        case .disable: "client-disabled"
        case .dropSecret: "client-secret-dropped"
        case .takeScope, .takeGrant: "client-narrowed"
        case .revokeClient, .revokeAll: "revoked"
        }
    }

    func perform(_ client: RegisteredClient, _ administrator: String, on node: TestNode) async throws -> TestNode.Answer
    {
        let path = "/admin/clients/\(client.id)"
        switch self {
        case .disable: return try await node.post("\(path)/disable", ["reason": "a test"], bearer: administrator)
        case .dropSecret:
            return try await node.post("\(path)/secret", ["expire_old_after": 0], bearer: administrator)
        case .takeScope: return try await node.patch(path, ["scope": "users:read"], bearer: administrator)
        case .takeGrant:
            return try await node.patch(path, ["grant_types": ["client_credentials"]], bearer: administrator)
        case .revokeClient:
            return try await node.post(
                "/admin/revocations", ["client": .string(client.id), "reason": "a test"], bearer: administrator)
        case .revokeAll:
            return try await node.post("/admin/revocations", ["all": true, "reason": "a test"], bearer: administrator)
        }
    }
}

@Suite("A client's tokens")
struct ClientLifeTests {
    /// A client with all that can be taken, one that stays, and an administrator.
    private func scene(_ it: TestInstallation) async throws -> (
        client: RegisteredClient, other: RegisteredClient, administrator: String
    ) {
        let administrator = try await it.node.administrator()
        let client = try await it.node.newClient(
            administrator, scope: "users:read orders:read", grants: ["client_credentials", "refresh_token"])
        let other = try await it.node.newClient(administrator, scope: "users:read")
        return (client, other, administrator)
    }

    @Test("end with it, here at once and elsewhere soon, and no other client's do", arguments: ClientEnding.allCases)
    func ends(ending: ClientEnding) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let (client, other, administrator) = try await scene(it)
            let (token, beside) = (try await client.token(it.node), try await other.token(it.node))
            for node in it.nodes { #expect(try await node.takes(token.access)) }
            let before = try await it.epoch(client)
            #expect(try token.sid == before)
            // A session under the client, which the token endpoint does not open yet.
            let session = try await it.node.newUser("alice")
            try await it.database.query(
                "UPDATE sessions SET client_id = \(client.id) WHERE sid = \(try session.sid)")

            let answer = try await ending.perform(client, administrator, on: it.nodes[1])
            #expect([200, 204].contains(answer.status))
            #expect(answer.header("latchkey-position") != nil)
            #expect(try await it.nodes[1].takes(token.access) == false)
            // Promise 2, with room for the other tests on this machine.
            #expect(try await becomesTrue(within: .seconds(2)) { try await it.node.takes(token.access) == false })
            #expect(try await it.listed(before) == 1)
            #expect(try await it.epoch(client) != before)
            #expect(try await it.row(session).cause == ending.cause)
            #expect(try await it.nodes[1].admits(session) == false)

            let event = ending.event(client)
            #expect(try await it.audited(event.action, event.target) == 1)
            let detail: String = try await it.database.query(
                "SELECT detail FROM audit_events WHERE action = \(event.action) AND target = \(event.target)"
            ).one().decode("detail")
            #expect(detail.contains(before.text))
            if ending != .revokeAll { for node in it.nodes { #expect(try await node.takes(beside.access)) } }

            switch ending {
            case .disable, .dropSecret:
                it.expectRefused(try await client.token(it.node), 401, "invalid_client")
            case .takeScope:
                #expect(try await client.token(it.node)["scope"] == "users:read")
                it.expectRefused(try await client.token(it.node, scope: "orders:read"), 400, "invalid_scope")
            case .takeGrant, .revokeClient, .revokeAll:
                // What it gets from now on is of the new epoch, and lives.
                let next = try await client.token(it.node)
                #expect(try next.sid == (try await it.epoch(client)))
                for node in it.nodes { #expect(try await node.takes(next.access)) }
            }
        }
    }

    @Test("never live where they were being minted while the end was acknowledged", arguments: ClientEnding.allCases)
    func inFlight(ending: ClientEnding) async throws {
        for mintsFirst in [true, false] {
            try await TestInstallation.run(nodes: 2) { it in
                let (client, _, administrator) = try await scene(it)
                let (minting, change) = try await it.holdingClient(client.id) {
                    if mintsFirst {
                        let minting = Task { try await client.token(it.node) }
                        try await it.untilWaitingForLocks(1)
                        let change = Task { try await ending.perform(client, administrator, on: it.nodes[1]) }
                        try await it.untilWaitingForLocks(2)
                        return (minting, change)
                    }
                    let change = Task { try await ending.perform(client, administrator, on: it.nodes[1]) }
                    try await it.untilWaitingForLocks(1)
                    let minting = Task { try await client.token(it.node) }
                    try await it.untilWaitingForLocks(2)
                    return (minting, change)
                }
                #expect(try await change.value.header("latchkey-position") != nil)
                let token = try await minting.value
                if token.status == 200, try token.sid == (try await it.epoch(client)) {
                    // Minted after the change: only where that leaves the client its tokens.
                    #expect([.takeScope, .takeGrant, .revokeClient, .revokeAll].contains(ending))
                    #expect(!mintsFirst)
                    if ending == .takeScope { #expect(token["scope"] == "users:read") }
                } else if token.status == 200 {
                    #expect(mintsFirst, "minted after the change with the epoch from before it")
                    #expect(try await it.nodes[1].takes(token.access) == false)
                    #expect(try await becomesTrue { try await it.node.takes(token.access) == false })
                } else {
                    it.expectRefused(token, 401, "invalid_client")
                    #expect([.disable, .dropSecret].contains(ending) && !mintsFirst)
                }
            }
        }
    }

    @Test("do not survive a disable in a storm of requests, and none is minted after it")
    func storm() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await it.node.administrator()
            for round in 0..<15 {
                let client = try await it.node.newClient(administrator, scope: "users:read")
                let tokens = try await withThrowingTaskGroup(of: TestNode.Answer?.self) { group in
                    for number in 0..<12 { group.addTask { try await client.token(it.nodes[number % 2]) } }
                    group.addTask {
                        for _ in 0..<(round * 11 % 37) { await Task.yield() }
                        let answer = try await ClientEnding.disable.perform(
                            client, administrator, on: it.nodes[round % 2])
                        #expect(answer.status == 204)
                        return nil
                    }
                    return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
                }
                for token in tokens {
                    if token.status == 200 {
                        #expect(try await it.nodes[round % 2].takes(token.access) == false)
                    } else {
                        it.expectRefused(token, 401, "invalid_client")
                    }
                }
                it.expectRefused(try await client.token(it.node), 401, "invalid_client")
            }
        }
    }

    @Test("begin anew where a disabled client is enabled again: none from before lives")
    func enabledAgain() async throws {
        try await TestInstallation.run { it in
            let (client, _, administrator) = try await scene(it)
            let token = try await client.token(it.node)
            _ = try await ClientEnding.disable.perform(client, administrator, on: it.node)
            #expect(
                try await it.node.get("/admin/clients/\(client.id)", bearer: administrator)["status"] == "disabled")
            let enabled = try await it.node.post("/admin/clients/\(client.id)/enable", bearer: administrator)
            #expect(enabled.status == 204)
            #expect(try await it.node.takes(token.access) == false)
            let next = try await client.token(it.node)
            #expect(try next.sid != token.sid)
            #expect(try await it.node.takes(next.access))
            #expect(try await it.audited("client.enabled", "client:\(client.id)") == 1)
        }
    }

    @Test("live on where the client only gains, is renamed, or its secret is rotated with time for the old one")
    func livesOn() async throws {
        try await TestInstallation.run { it in
            let (client, _, administrator) = try await scene(it)
            let token = try await client.token(it.node)
            let path = "/admin/clients/\(client.id)"
            let changes: [JSONValue] = [
                ["client_name": "another name"], ["scope": "orders:read users:read orders:write"],
                ["redirect_uris": ["https://app.example/cb"]],
                ["grant_types": ["client_credentials", "refresh_token", "authorization_code"]], [:],
                ["token_endpoint_auth_method": "client_secret_post"],
            ]
            for change in changes {
                let answer = try await it.node.patch(path, change, bearer: administrator)
                #expect(answer.status == 200)
                #expect(answer.header("latchkey-position") == nil)
            }
            #expect(try await it.node.post("\(path)/secret", bearer: administrator).status == 200)
            #expect(try await it.node.takes(token.access))
            #expect(try await it.listed() == 0)
            let shown = try await it.node.get(path, bearer: administrator)
            #expect(shown["client_name"] == "another name")
            #expect(shown["scope"] == "orders:read users:read orders:write")
            #expect(shown.json["redirect_uris"] == ["https://app.example/cb"])
            #expect(shown["token_endpoint_auth_method"] == "client_secret_post")
            // The new method alone is taken.
            it.expectRefused(try await client.token(it.node), 401, "invalid_client")
            let byPost = RegisteredClient(id: client.id, secret: client.secret, method: "client_secret_post")
            #expect(try await byPost.token(it.node).status == 200)
        }
    }
}
