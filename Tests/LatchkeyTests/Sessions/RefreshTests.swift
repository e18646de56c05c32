import JOSE
import Latchkey
import LatchkeyTesting
import Postgres
import Testing

@Suite("Refreshing")
struct RefreshTests {
    @Test("advances: a new access token, a new refresh token, and the session lives on")
    func advance() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let first = try await it.row(born)
            #expect(first.generation == 1)
            #expect(first.confirmed == 0)
            try await it.age(born, seconds: 100)
            let aged = try await it.row(born)

            let next = try await it.node.refresh(born.refresh)
            #expect(next.status == 200)
            #expect(next.header("cache-control") == "no-store")
            #expect(next["token_type"] == "Bearer")
            #expect(next.json["expires_in"]?.int == it.settings.accessTokenTTL)
            #expect(next.json["session_id"] == nil)
            #expect(next.refresh != born.refresh)
            #expect(next.access != born.access)
            #expect(try next.sid == born.sid)
            #expect(try next.tokenID != born.tokenID)
            #expect(try next.claims["auth_time"] == born.claims["auth_time"])

            let row = try await it.row(born)
            #expect(row.generation == 2)
            #expect(row.confirmed == 1)
            #expect(row.confirmedAt == row.issuedAt)
            #expect(row.issuedAt > aged.issuedAt)
            #expect(row.idleUntil == row.issuedAt + it.settings.session.idleTTL)
            #expect(row.maxUntil == aged.maxUntil)
            // Both access tokens are good: what was minted lives until it expires.
            #expect(try await it.node.admits(born))
            #expect(try await it.node.admits(next))
        }
    }

    @Test("never lets a session idle beyond its longest life")
    func idleEndsWithLife() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            // All but 50 s of its life has passed, though it was used a moment ago.
            try await it.database.query(
                """
                UPDATE sessions SET max_until = clock_timestamp() + interval '50 seconds',
                                    idle_until = clock_timestamp() + interval '20 seconds'
                """)
            let life = try await it.row(born).maxUntil
            #expect(try await it.node.refresh(born.refresh).status == 200)
            let row = try await it.row(born)
            #expect(row.idleUntil == life)
            #expect(row.maxUntil == life)
        }
    }

    @Test("repeats: within the grace the last used token gets the same successor again, and nothing is written")
    func repeats() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let next = try await it.node.refresh(born.refresh)
            // The last moment of the grace, less what the calls take.
            try await it.age(born, seconds: it.settings.session.grace - 10)
            let row = try await it.row(born)
            for node in it.nodes {
                let again = try await node.refresh(born.refresh)
                #expect(again.status == 200)
                #expect(again.refresh == next.refresh)
                #expect(try again.tokenID != next.tokenID)
                #expect(try await node.admits(again))
            }
            #expect(try await it.row(born) == row)
            #expect(try await it.node.refresh(next.refresh).status == 200)
        }
    }

    @Test("recovers: after the grace the unused successor is void, and its coming ends the session")
    func recovers() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let lost = try await it.node.refresh(born.refresh)
            try await it.age(born, seconds: it.settings.session.grace + 1)
            let before = try await it.row(born)

            let recovered = try await it.node.refresh(born.refresh)
            #expect(recovered.status == 200)
            #expect(recovered.refresh != lost.refresh)
            let row = try await it.row(born)
            #expect(row.generation == 3)
            #expect(row.confirmed == 1)
            #expect(row.confirmedAt == before.confirmedAt)
            #expect(row.idleUntil == before.idleUntil)
            #expect(row.issuedAt > before.issuedAt)
            // Within a new grace the same again.
            #expect(try await it.node.refresh(born.refresh).refresh == recovered.refresh)

            it.expectInvalidGrant(try await it.nodes[1].refresh(lost.refresh))
            try await expectEnded(it, born, cause: "refresh-token-reused")
            for tokens in [born, lost, recovered] {
                it.expectInvalidGrant(try await it.node.refresh(tokens.refresh))
                #expect(try await it.nodes[1].admits(tokens) == false)
            }
            #expect(try await it.listed() == 1)
        }
    }

    @Test("recovers again and again while the successor stays unused, without living longer for it")
    func recoversAgain() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            _ = try await it.node.refresh(born.refresh)
            var seen: Set<String> = []
            var idle = try await it.row(born).idleUntil
            for round in 0..<5 {
                try await it.age(born, seconds: it.settings.session.grace + 1)
                idle = idle - (it.settings.session.grace + 1)
                let recovered = try await it.node.refresh(born.refresh)
                #expect(recovered.status == 200)
                #expect(seen.insert(recovered.refresh).inserted)
                let row = try await it.row(born)
                #expect(row.generation == Int64(round + 3))
                #expect(row.idleUntil == idle)
            }
        }
    }

    @Test("voids: a token older than the last used one ends the session, once", arguments: [0, 3600] as [Int64])
    func void(ageAtTheft: Int64) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let born = try await it.node.newUser("alice")
            let second = try await it.node.refresh(born.refresh)
            let third = try await it.node.refresh(second.refresh)
            try await it.age(born, seconds: ageAtTheft)

            it.expectInvalidGrant(try await it.nodes[1].refresh(born.refresh))
            try await expectEnded(it, born, cause: "refresh-token-reused")
            let row = try await it.row(born)
            for tokens in [born, second, third, born] {
                for node in it.nodes { it.expectInvalidGrant(try await node.refresh(tokens.refresh)) }
            }
            #expect(try await it.row(born) == row)
            #expect(try await it.listed() == 1)
            #expect(try await it.nodes[1].admits(third) == false)
        }
    }

    @Test("says that history was lost where a token is newer than the row, and ends the session")
    func rollback() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let second = try await it.node.refresh(born.refresh)
            let third = try await it.node.refresh(second.refresh)
            // As a restored backup would have it.
            try await it.database.query("UPDATE sessions SET gen = 2, conf = 1")
            it.expectInvalidGrant(try await it.node.refresh(third.refresh))
            try await expectEnded(it, born, cause: "history-lost")
            it.expectInvalidGrant(try await it.node.refresh(second.refresh))
        }
    }

    @Test("under the strict rule ends the session at the second use of a token")
    func strict() async throws {
        try await TestInstallation.run(
            settings: {
                $0.session.grace = 0
                $0.session.recovery = 0
            },
            { it in
                let born = try await it.node.newUser("alice")
                let next = try await it.node.refresh(born.refresh)
                #expect(next.status == 200)
                it.expectInvalidGrant(try await it.node.refresh(born.refresh))
                try await expectEnded(it, born, cause: "refresh-token-reused")
                it.expectInvalidGrant(try await it.node.refresh(next.refresh))
            })
    }

    @Test("shows a role that was granted meanwhile, and never more scopes than the login asked for")
    func rolesShow() async throws {
        try await TestInstallation.run { it in
            let born = try await it.node.newUser("alice")
            let narrow = try await it.node.post(
                "/auth/login", ["username": "alice", "password": "correct horse", "scope": "account"])
            #expect(born["scope"] == "account")
            let id = try #require(UniqueID(text: try born.userID))
            try await it.node.installation.users.grant("admin", to: UserID(id), origin: Origin(actor: "test"))
            let next = try await it.node.refresh(born.refresh)
            #expect(next["scope"].contains("users:write"))
            #expect(try next.claims["roles"] == ["admin"])
            #expect(try await it.node.refresh(narrow.refresh)["scope"] == "account")
        }
    }

    private func expectEnded(
        _ it: TestInstallation, _ tokens: TestNode.Answer, cause: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let row = try await it.row(tokens)
        #expect(row.cause == cause, sourceLocation: sourceLocation)
        #expect(try await it.listed(tokens.sid) == 1, sourceLocation: sourceLocation)
        #expect(
            try await it.audited("session.revoked", "session:\(tokens.sid.text)") == 1, sourceLocation: sourceLocation)
        // The node that ended it knows at once, the others soon.
        #expect(try await becomesTrue { try await it.node.admits(tokens) == false }, sourceLocation: sourceLocation)
    }
}
