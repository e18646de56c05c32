import Foundation
import Glibc
import JOSE
import LatchkeyTesting
import Postgres
import Testing

@Suite struct KeyCompromiseTests {
    /// `latchkey keys COMMAND … -- KID`: one thumbprint in 64 begins with a dash.
    private func keys(
        _ command: String, _ kid: String, _ dev: Dev, _ options: String..., input: String = ""
    ) async throws -> ChildProcess.Transcript {
        try await LatchkeyBinary.run(
            ["keys", command, "--data", dev.folder.path] + options + ["--", kid], input: input)
    }

    private func key(_ state: String, _ dev: Dev) async throws -> String? {
        let keys = try await dev.json("keys", "list")?.array?.compactMap(\.object) ?? []
        return keys.first { $0["state"]?.string == state }?["kid"]?.string
    }

    @Test func `A key is compromised by command once that is confirmed, and taken back`() async throws {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder) { dev in
                let tokens = try await dev.site.newUser("ada")
                let kid = try #require(try await key("active", dev))

                let said = try await keys("compromise", kid, dev, "--reason", "why", input: "yes\n")
                #expect(said.exit == .code(1), "nobody at a terminal has confirmed it")
                #expect(said.outputLines.count == 3)
                #expect(said.output.contains("signs in its place"))
                #expect(said.errorLines == ["latchkey: nothing was done: say --yes to do it"])
                let foreseen = try await keys("compromise", kid, dev, "--reason", "why", "--json")
                #expect(foreseen.exit == .code(1))
                #expect(try JSONValue.parse(Array(foreseen.output.utf8)).object?["sessions"] == 1)
                #expect(try await key("active", dev) == kid)
                #expect(try await dev.site.account(tokens["access_token"]) == 200)
                #expect(try await keys("compromise", kid, dev, "--yes").exit == .code(2), "a reason is asked for")

                let done = try await keys("compromise", kid, dev, "--reason", "why", "--yes", "--json")
                #expect(done.exit == .code(0), "\(done.errors)")
                let answer = try #require(try JSONValue.parse(Array(done.output.utf8)).object)
                #expect(answer["already_compromised"] == false)
                let next = answer["signs_next"]?.object?["kid"]?.string
                #expect(try await key("active", dev) == next)
                #expect(try await key("compromised", dev) == kid)
                #expect(try await dev.site.refusesSoon(tokens["access_token"]))
                let recovered = try await dev.site.refresh(tokens["refresh_token"])
                #expect(try await dev.site.account(recovered["access_token"]) == 200)
                let again = try await keys("compromise", kid, dev, "--reason", "why", "--yes")
                #expect(again.exit == .code(0))
                #expect(again.output.contains("already_compromised: true"))

                let restored = try await keys("restore", kid, dev, "--reason", "a mistake")
                #expect(restored.exit == .code(0), "\(restored.errors)")
                #expect(restored.output.contains("state: retired"))
                let isAdmitted = try await becomesTrue { try await dev.site.account(tokens["access_token"]) == 200 }
                #expect(isAdmitted)
                // The schedule's steps are the node's.
                let records = try await dev.json("audit", "--target", "key:\(kid)")?.array?.compactMap(\.object)
                    .filter { $0["actor"]?.string?.hasPrefix("cli:") == true }
                #expect(records?.compactMap { $0["action"]?.string } == ["key.restored", "key.compromised"])
                #expect(records?.last?["detail"]?.object?["next"]?.string == next)
            }
        }
    }

    /// When the node is killed.
    enum Moment: CaseIterable, Sendable {
        /// It waits for the ring, with nothing done yet.
        case beforeItsTurn
        /// All is sent, its COMMIT too, and waits for the list's head.
        case withItsCommitOnTheWay
        case soon, later, late

        /// The row that is held, and what the statement that waits for it says.
        var held: (row: Query, waiting: String)? {
            switch self {
            case .beforeItsTurn: ("SELECT version FROM key_ring FOR UPDATE", "%FROM key_ring FOR UPDATE%")
            case .withItsCommitOnTheWay: ("SELECT seq FROM feed_head FOR UPDATE", "%INTO revoked_keys%")
            case .soon, .later, .late: nil
            }
        }

        /// Milliseconds; a compromise takes some ten.
        var delay: Int {
            switch self {
            case .soon: .random(in: 0...5)
            case .later: .random(in: 5...20)
            default: .random(in: 20...100)
            }
        }
    }

    /// Sends `request` and runs `kill` at the moment.
    private func send(
        _ request: @escaping @Sendable () async -> Int?, until moment: Moment, _ database: Database,
        _ kill: @Sendable () async throws -> Void
    ) async throws -> Int? {
        guard let held = moment.held else {
            let status = Task { await request() }
            try await Task.sleep(for: .milliseconds(moment.delay))
            try await kill()
            return await status.value
        }
        let status = try await database.transaction(timeout: 30_000_000_000) { transaction in
            try await transaction.query("SET LOCAL idle_in_transaction_session_timeout = 0")
            try await transaction.query(held.row)
            let status = Task { await request() }
            let waits = try await becomesTrue {
                try await database.query(
                    """
                    SELECT pid FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE \(held.waiting)
                    """
                ).count > 0
            }
            try #require(waits)
            try await kill()
            return status
        }
        return await status.value
    }

    @Test func `Kill -9 of the node amid a compromise leaves all of it or nothing, and what was acknowledged stands`()
        async throws
    {
        try await ServeGround.run { ground in
            try await ground.withNodes(1) { nodes in
                let made = try await LatchkeyBinary.run(
                    ["users", "create", "root", "--role", "admin"], environment: ground.environment,
                    input: "correct horse\n")
                #expect(made.exit == .code(0), "\(made.errors)")
                for moment in Moment.allCases {
                    // The server may notice that its client is gone before it has the lock, and roll back: that is
                    // nothing at all, as promised, but not the moment that is meant.
                    var isMet = false
                    for _ in 1...5 where !isMet {
                        let isDone = try await drill(moment, ground, nodes[0].site)
                        isMet = moment != .withItsCommitOnTheWay || isDone
                    }
                    #expect(isMet, "\(moment)")
                }
            }
        }
    }

    /// - Returns: whether it was done, all of it.
    private func drill(_ moment: Moment, _ ground: ServeGround, _ site: Site) async throws -> Bool {
        let tokens = try await site.logIn("root")
        let listed = try await site.get("/admin/keys", bearer: tokens["access_token"]).json["items"]?.array
        let kid = try #require(
            listed?.compactMap(\.object).first { $0["state"]?.string == "active" }?["kid"]?.string)
        let path = "/admin/keys/\(kid)/compromise"
        let body: JSONValue = ["reason": "a crash", "confirm": true]
        let names: Query = """
            SELECT DISTINCT application_name AS name FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'latchkey %'
            """
        let isDone = try await ground.withDatabase { database in
            let others = try await database.query(names).rows.map { try $0.decode("name", as: String.self) }
            let victim = try await ground.start()
            _ = try await victim.process.line(after: "ready: ")
            let status = try await send(
                { try? await victim.site.post(path, body, bearer: tokens["access_token"]).status }, until: moment,
                database
            ) {
                victim.process.send(SIGKILL)
                try await victim.process.end()
            }
            // What the server was sent it finishes, or notices that nobody is there: either way its backends end.
            let isOver = try await becomesTrue {
                try await database.query(names).rows.allSatisfy { others.contains(try $0.decode("name")) }
            }
            try #require(isOver)
            let row = try await database.query(
                """
                SELECT ARRAY[
                    (SELECT count(*) FROM signing_keys WHERE kid = \(kid) AND compromised_at IS NOT NULL),
                    (SELECT count(*) FROM revoked_keys WHERE kid = \(kid)),
                    (SELECT count(*) FROM audit_events
                     WHERE target = 'key:' || \(kid) AND action = 'key.compromised'),
                    (SELECT count(*) FROM signing_keys
                     WHERE activates_at IS NOT NULL AND retires_at IS NULL AND kid <> \(kid))] AS parts
                """
            ).one()
            let parts: [Int64] = try row.decode("parts")
            print("killed \(moment) in a compromise: answered \(status.map { "\($0)" } ?? "nothing"), parts \(parts)")
            #expect(Set(parts).count == 1, "\(moment): \(parts)")
            if status == 202 { #expect(parts[0] == 1) }
            if moment == .beforeItsTurn { #expect(parts[0] == 0) }
            return parts[0] == 1
        }
        let again = try await site.refresh(tokens["refresh_token"])
        #expect(try await site.post(path, body, bearer: again["access_token"]).status == 202)
        #expect(try await site.refusesSoon(tokens["access_token"]))
        return isDone
    }
}
