import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("A rotation")
struct RotationTests {
    private func rotate(
        _ node: TestNode, _ administrator: String, from kid: String? = nil
    ) async throws -> TestNode.Answer {
        try await node.post(
            "/admin/keys/rotate", .object(JSONObject([("from", kid.map { .string($0) }), ("reason", "a test")])),
            bearer: administrator)
    }

    private func states(_ node: TestNode, _ administrator: String) async throws -> [String: String] {
        let items = try #require(try await node.get("/admin/keys", bearer: administrator).json["items"]?.array)
        return items.reduce(into: [:]) { states, item in
            if let kid = item.object?["kid"]?.string { states[kid] = item.object?["state"]?.string }
        }
    }

    private func published(_ node: TestNode) async throws -> Set<String> {
        let keys = try await node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
        return Set(keys.compactMap { $0.object?["kid"]?.string })
    }

    @Test("lets a standby sign from its instant on; old tokens verify until the old key has left")
    func rotates() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await it.node.administrator()
            let before = try await it.node.newUser("alice")
            let old = try before.signer
            let founding = try await published(it.node)

            let answer = try await rotate(it.node, administrator)
            #expect(answer.status == 202)
            #expect(answer.header("cache-control") == "no-store")
            let new = answer["kid"]
            #expect(new != old)
            #expect(founding.contains(new))
            let at = try #require(RFC3339.microseconds(answer["activates_at"]))

            // Every token is signed by the key whose time it is.
            let isSigning = try await becomesTrue {
                let tokens = try await it.nodes[1].logIn("alice")
                let signer = try tokens.signer
                let issued = try #require(try tokens.claims["iat"]?.int)
                // `iat` is floored: within the second of the change either may sign.
                if issued * 1_000_000 >= at { #expect(signer == new) }
                if (issued + 1) * 1_000_000 <= at { #expect(signer == old) }
                return signer == new
            }
            #expect(isSigning)
            for node in it.nodes {
                #expect(try await node.admits(before))
                let tokens = try await node.logIn("alice")
                #expect(try tokens.signer == new)
                for node in it.nodes { #expect(try await node.admits(tokens)) }
            }
            // A new standby stands in the JWKS, unstamped at first; a later tick stamps it.
            #expect(
                try await becomesTrue {
                    let stamped: Int64 = try await it.database.query(
                        "SELECT count(*) AS count FROM signing_keys WHERE NOT founding AND published_at > created_at"
                    ).one().decode("count")
                    return stamped == 1
                })
            #expect(try await becomesTrue { try await published(it.nodes[1]).count == 4 })
            #expect(try await published(it.node).isSuperset(of: founding))
            let states = try await states(it.node, administrator)
            #expect(states[old] == "retired")
            #expect(states[new] == "active")
            #expect(states.values.filter { $0 == "published" }.count == 2)
            #expect(try await it.audited("key.rotated", "key:\(new)") == 1)

            // The old key leaves: the last token it signed has expired for everybody.
            try await it.database.batch([
                "UPDATE signing_keys SET removed_at = clock_timestamp() WHERE kid = \(old)",
                "UPDATE key_ring SET version = version + 1",
            ])
            for node in it.nodes {
                #expect(try await becomesTrue { try await node.admits(before) == false })
                #expect(try await published(node).contains(old) == false)
            }
        }
    }

    @Test("keeps the old key in the JWKS for the longest token and the leeway")
    func removal() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            _ = try await rotate(it.node, administrator)
            let ahead: Bool = try await it.database.query(
                "SELECT bool_and(retires_at > clock_timestamp()) AS ahead FROM signing_keys WHERE retires_at IS NOT NULL"
            ).one().decode("ahead")
            #expect(ahead)
            // Known once a later transaction has read the retirement.
            let stays = try await becomes {
                try await it.database.query(
                    """
                    SELECT extract(epoch FROM leaves_at - retires_at)::bigint AS stays
                    FROM signing_keys WHERE leaves_at IS NOT NULL AND removed_at IS NULL
                    """
                ).first?.decode("stays", as: Int64.self)
            }
            let shortest = it.settings.accessTokenTTL + it.settings.keys.leeway + KeySchedule.activationDelay
            #expect((shortest...shortest + 15).contains(try #require(stays)))
        }
    }

    @Test("asked for twice at once makes one, on two nodes as on one", arguments: [1, 2])
    func twoAtOnce(nodes: Int) async throws {
        try await TestInstallation.run(nodes: nodes) { it in
            let administrator = try await it.node.administrator()
            let answers = try await withThrowingTaskGroup(of: TestNode.Answer.self) { group in
                for number in 0..<6 {
                    group.addTask { try await rotate(it.nodes[number % nodes], administrator) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 202 })
            #expect(Set(answers.map { $0["kid"] }).count == 1)
            #expect(Set(answers.map { $0["activates_at"] }).count == 1)
            let keys: Int64 = try await it.database.query("SELECT count(*) AS count FROM signing_keys").one().decode(
                "count")
            #expect(keys == 4)
            #expect(try await it.audited("key.rotated", "key:\(answers[0]["kid"])") == 1)
        }
    }

    @Test("works twice in a row, for the day the new key leaks, and then names when a standby will be ripe")
    func noRipeStandby() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let first = try await rotate(it.node, administrator)
            let second = try await rotate(it.node, administrator, from: first["kid"])
            #expect(second.status == 202)
            #expect(second["kid"] != first["kid"])
            #expect(second["activates_at"] >= first["activates_at"])

            let third = try await rotate(it.node, administrator, from: second["kid"])
            #expect(third.status == 409)
            #expect(third["code"] == "no-ripe-standby")
            let ripeAt = try #require(RFC3339.microseconds(third["ripe_at"]))
            let now: Instant = try await it.database.query("SELECT clock_timestamp() AS now").one().decode("now")
            #expect(ripeAt > now.microseconds)
            #expect(ripeAt <= now.microseconds + (it.settings.keys.publishLead + 1) * 1_000_000)
            let keys: Int64 = try await it.database.query("SELECT count(*) AS count FROM signing_keys").one().decode(
                "count")
            #expect(keys == 5)

            // Once the lead has passed it can be done.
            try await it.database.query("UPDATE signing_keys SET created_at = created_at - interval '46 seconds'")
            #expect(
                try await becomesTrue {
                    try await it.database.query(
                        """
                        UPDATE signing_keys SET published_at = published_at - interval '46 seconds'
                        WHERE NOT founding AND published_at > created_at + interval '40 seconds'
                        """
                    ).affected > 0
                })
            #expect(try await rotate(it.node, administrator, from: second["kid"]).status == 202)
        }
    }

    @Test("is followed at once by a node whose own ring is older: the minting statement names the version")
    func ringVersion() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            _ = try await it.node.newUser("alice")
            for _ in 0..<2 {
                let standby: String = try await it.database.query(
                    "SELECT kid FROM signing_keys WHERE activates_at IS NULL AND published_at IS NOT NULL LIMIT 1"
                ).one().decode("kid")
                try await it.database.batch([
                    """
                    UPDATE signing_keys SET retires_at = now(), removed_at = now() + interval '1 hour'
                    WHERE activates_at IS NOT NULL AND retires_at IS NULL
                    """,
                    "UPDATE signing_keys SET activates_at = now() WHERE kid = \(standby)",
                    "UPDATE key_ring SET version = version + 1",
                ])
                // No tick, no notification in between.
                async let one = it.nodes[0].logIn("alice")
                async let two = it.nodes[1].logIn("alice")
                for tokens in [try await one, try await two] { #expect(try tokens.signer == standby) }
            }
            // The schedule makes up for them.
            #expect(
                try await becomesTrue {
                    let standbys: Int64 = try await it.database.query(
                        "SELECT count(*) AS count FROM signing_keys WHERE activates_at IS NULL"
                    ).one().decode("count")
                    return standbys == 2
                })
        }
    }

    static let refusals: [(String, JSONValue, Int, String)] = [
        ("an unknown key", ["from": "nobody"], 404, "not-found"),
        ("not a text", ["from": 1], 400, "wrong-type"),
        ("no object", [], 400, "bad-json"),
    ]

    @Test("away from what does not sign is refused and changes nothing")
    func refusals() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            for (name, body, status, code) in Self.refusals {
                let answer = try await it.node.post("/admin/keys/rotate", body, bearer: administrator)
                #expect(answer.status == status, "\(name)")
                #expect(answer["code"] == code, "\(name)")
            }
            let standby: String = try await it.database.query(
                "SELECT kid FROM signing_keys WHERE activates_at IS NULL LIMIT 1"
            ).one().decode("kid")
            #expect(try await rotate(it.node, administrator, from: standby).status == 404)
            let rotated: Int64 = try await it.database.query(
                "SELECT count(*) AS count FROM audit_events WHERE action = 'key.rotated'"
            ).one().decode("count")
            #expect(rotated == 0)
        }
    }
}

extension RFC3339 {
    /// Microseconds since 1970 of what our own answers say.
    fileprivate static func microseconds(_ text: String) -> Int64? {
        try? AuditAdministration.instant(text).microseconds
    }
}
