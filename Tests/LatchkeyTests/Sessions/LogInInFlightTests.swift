import JOSE
import LatchkeyTesting
import Logging
import Postgres
import Testing

@testable import Latchkey

/// The password is checked before the session is born, and in between the account may change. Held still by a lock on the
/// row that birth and change both need, in both orders.
@Suite("A login in flight")
struct LogInInFlightTests {
    static let changes: [Ending] = [
        .administratorDisables, .administratorSetsPassword, .changePassword, .roleTaken, .roleNarrowed, .roleDeleted,
        .administratorRevokesUser, .administratorRevokesClient, .administratorRevokesAll,
    ]

    @Test("gives birth to nothing where the change comes first", arguments: changes)
    func changeFirst(change: Ending) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await Ending.scene(it, administrator: try await Ending.administrator(it))
            let (changed, loggedIn) = try await it.holding(change) {
                let changed = Task { try await change.perform(scene, on: it.nodes[1]) }
                try await it.untilWaitingForLocks(1)
                let loggedIn = Task { try await it.node.logIn("alice") }
                try await it.untilWaitingForLocks(2)
                return (changed, loggedIn)
            }
            #expect(try await changed.value.header("latchkey-position") != nil)
            let answer = try await loggedIn.value
            #expect(answer.status == 401)
            #expect(answer["code"] == "invalid-credentials")
            try await expectNoSurvivor(it, scene, change)
        }
    }

    @Test("is born and ends with the others where the change comes after", arguments: changes)
    func logInFirst(change: Ending) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = try await Ending.scene(it, administrator: try await Ending.administrator(it))
            let (changed, loggedIn) = try await it.holding(change) {
                let loggedIn = Task { try await it.node.logIn("alice") }
                try await it.untilWaitingForLocks(1)
                let changed = Task { try await change.perform(scene, on: it.nodes[1]) }
                try await it.untilWaitingForLocks(2)
                return (changed, loggedIn)
            }
            #expect(try await changed.value.header("latchkey-position") != nil)
            let answer = try await loggedIn.value
            if answer.status == 200 {
                it.expectInvalidGrant(try await it.node.refresh(answer.refresh))
                #expect(try await it.nodes[1].admits(answer) == false)
                #expect(try await becomesTrue { try await it.node.admits(answer) == false })
            }
            try await expectNoSurvivor(it, scene, change)
        }
    }

    @Test(
        "leaves no session behind, whatever the interleaving",
        arguments: [
            Ending.administratorDisables, .administratorSetsPassword, .changePassword, .administratorRevokesUser,
        ])
    func storm(change: Ending) async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await Ending.administrator(it)
            for round in 0..<30 {
                let name = "alice\(round)"
                let scene = try await Ending.scene(it, administrator: administrator, username: name)
                let answers = try await withThrowingTaskGroup(of: TestNode.Answer?.self) { group in
                    for number in 0..<6 { group.addTask { try await it.nodes[number % 2].logIn(name) } }
                    group.addTask {
                        for _ in 0..<(round * 7 % 31) { await Task.yield() }
                        let answer = try await change.perform(scene, on: it.nodes[round % 2])
                        #expect(answer.status == 204)
                        return nil
                    }
                    return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
                }
                #expect(answers.allSatisfy { [200, 401].contains($0.status) })
                switch change {
                case .administratorRevokesUser:
                    // A login that read the account after the change is a new one, and lives: each that lives was opened
                    // after the change, each other has ended.
                    for answer in answers where answer.status == 200 {
                        let isLive = try await it.row(answer).isLive
                        #expect(try await it.nodes[round % 2].admits(answer) == isLive)
                    }
                default:
                    try await expectNoSurvivor(it, scene, change)
                }
            }
        }
    }

    /// Its node leased the session's bit before that history was lost, and has not had its next tick.
    @Test func `gives birth to nothing on a status list that ended meanwhile, and may be tried again`() async throws {
        try await TestInstallation.run { it in
            let alice = try await it.node.newUser("alice")
            let late = Installation(
                it.settings, masterKeys: it.node.installation.masterKeys,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            defer { late.close() }
            let credentials = try #require(
                try await late.users.credentials(try Username("alice"), clientID: Client.firstParty))
            @Sendable func birth() async throws -> Query {
                let rid: [UInt8] = [0] + (0..<15).map { _ in .random(in: 0...255) }
                return SessionSQL.open(
                    SessionBirth(
                        slot: 0, rid: rid,
                        sid: try await late.indices.sessionID(bornAt: Instant(seconds: 1_800_000_000)),
                        user: credentials.id, securityVersion: credentials.securityVersion,
                        clientID: Client.firstParty, clientVersion: credentials.clientVersion, scope: nil,
                        audience: [it.settings.issuer], policy: it.settings.session), .wait)
            }
            #expect(try await it.database.query(birth()).count == 1)
            let origin = Origin(actor: "test")
            try await late.readOnce()
            _ = try await it.node.installation.lostHistory.begin(origin: origin)
            #expect(try await it.database.query(birth()).count == 0)
            let again = Sessions.LogIn(username: "alice", password: "correct horse", resources: [], scope: nil)
            await #expect(throws: Rejection.unavailable(retryAfter: 1)) {
                _ = try await late.sessions.logIn(again, origin: origin)
            }
            #expect(try await it.node.logIn("alice").status == 200)
            #expect(try await becomesTrue { try await it.node.admits(alice) == false })
        }
    }

    /// No session of the user lives but the one that changed its own password.
    private func expectNoSurvivor(_ it: TestInstallation, _ scene: Ending.Scene, _ change: Ending) async throws {
        let user = try #require(UniqueID(text: try scene.victim.userID))
        var live: [UniqueID] = []
        for row in try await it.database.query("SELECT sid FROM sessions WHERE user_id = \(user) AND ended_at IS NULL")
            .rows
        {
            live.append(try row.decode("sid"))
        }
        #expect(live == (change == .changePassword ? [try scene.elsewhere.sid] : []))
    }
}

extension TestInstallation {
    /// Runs `body` while the row that a birth and this change both lock is held, then lets both go on.
    func holding<R: Sendable>(_ change: Ending, _ body: () async throws -> R) async throws -> R {
        let lock: Query =
            change == .administratorRevokesClient
            ? "SELECT id FROM clients FOR NO KEY UPDATE"
            : "SELECT id FROM users WHERE username = 'alice' FOR NO KEY UPDATE"
        return try await database.transaction(timeout: 30_000_000_000) { transaction in
            try await transaction.hold(lock)
            let result = try await body()
            try await transaction.commit()
            return result
        }
    }
}
