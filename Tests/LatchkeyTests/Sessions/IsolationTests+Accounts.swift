import JOSE
import LatchkeyTesting
import Postgres
import Testing

@testable import Latchkey

extension IsolationTests {
    /// What ends all sessions of an account in two steps: first the account, then its sessions.
    enum Change: String, Sendable, CaseIterable {
        case disable, delete, setPassword, revokeAll, takeRole

        var cause: EndCause {
            switch self {
            case .disable: .userDisabled
            case .delete: .userDeleted
            case .setPassword: .passwordChanged
            case .revokeAll: .revoked
            case .takeRole: .roleTaken
            }
        }

        func first(_ user: UserID) throws -> [Query] {
            switch self {
            case .disable: [UserSQL.disable(user)]
            case .delete: [UserSQL.delete(user)]
            case .setPassword:
                [
                    UserSQL.setPassword(
                        user, try PHCString(parsing: "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"),
                        ifVersion: nil)
                ]
            case .revokeAll: [UserSQL.raiseVersion(user)]
            case .takeRole: [UserSQL.raiseVersion(user), UserSQL.revoke("reader", from: user)]
            }
        }

        func second(_ user: UserID) -> Query {
            SessionEndSQL.end(
                .user(user, except: nil), .wait, cause: cause, reason: nil, origin: Origin(actor: "test"))
        }

        /// The whole of it, as a request.
        var ending: Ending {
            switch self {
            case .disable: .administratorDisables
            case .delete: .administratorDeletes
            case .setPassword: .administratorSetsPassword
            case .revokeAll: .administratorRevokesUser
            case .takeRole: .roleTaken
            }
        }
    }

    // MARK: refresh and what changes the account

    @Test(
        "A refresh between the two steps of a change goes through, and what it got ends with the change",
        arguments: Change.allCases)
    func refreshWithinChange(change: Change) async throws {
        try await TestInstallation.run { it in
            let scene = try await Ending.scene(it, administrator: try await Ending.administrator(it))
            let user = UserID(try #require(UniqueID(text: try scene.victim.userID)))
            let between = try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.batch(["SET LOCAL idle_in_transaction_session_timeout = 0"] + change.first(user))
                let answer = try await it.node.refresh(scene.victim.refresh)
                try await transaction.commit([change.second(user)])
                return answer
            }
            #expect(between.status == 200)
            // What is not committed does not show.
            #expect(between["scope"].contains("things:read"))
            it.expectInvalidGrant(try await it.node.refresh(between.refresh))
            #expect(try await it.row(scene.victim).cause == change.cause.rawValue)
            #expect(try await becomesTrue { try await it.node.admits(between) == false })
        }
    }

    @Test(
        "A refresh waits for a change that ends the session: refused, or as before", arguments: Change.allCases,
        Fate.allCases)
    func changeThenRefresh(change: Change, fate: Fate) async throws {
        try await TestInstallation.run { it in
            let scene = try await Ending.scene(it, administrator: try await Ending.administrator(it))
            let user = UserID(try #require(UniqueID(text: try scene.victim.userID)))
            let answer = try await it.while(change.first(user) + [change.second(user)], is: fate) {
                try await it.node.refresh(scene.victim.refresh)
            }
            switch fate {
            case .commits: it.expectInvalidGrant(answer)
            case .rollsBack: #expect(answer["scope"].contains("things:read"))
            }
            #expect(try await it.row(scene.victim).isLive == (fate == .rollsBack))
        }
    }

    @Test("A change waits for a refresh, and ends what that has handed out", arguments: Change.allCases, Fate.allCases)
    func refreshThenChange(change: Change, fate: Fate) async throws {
        try await TestInstallation.run { it in
            let scene = try await Ending.scene(it, administrator: try await Ending.administrator(it))
            let answer = try await it.while([try it.advance(scene.victim)], is: fate) {
                try await change.ending.perform(scene, on: it.node)
            }
            #expect(answer.status == 204)
            let row = try await it.row(scene.victim)
            #expect(row.generation == (fate == .commits ? 3 : 2))
            #expect(row.cause == change.cause.rawValue)
            it.expectInvalidGrant(try await it.node.refresh(scene.victim.refresh))
        }
    }

    @Test(
        "A refresh that waits for a grant of a role carries it: roles are read after the lock", arguments: Fate.allCases
    )
    func grantThenRefresh(fate: Fate) async throws {
        try await TestInstallation.run { it in
            _ = try await Ending.administrator(it)
            let born = try await it.node.newUser("alice")
            let user = UserID(try #require(UniqueID(text: try born.userID)))
            let token = try it.token(born)
            let grant = [
                SessionSQL.lock(slot: token.slot, rid: token.rid), UserSQL.grant("reader", to: user),
            ]
            let answer = try await it.while(grant, is: fate) { try await it.node.refresh(born.refresh) }
            #expect(answer.status == 200)
            #expect(answer["scope"].contains("things:read") == (fate == .commits))
        }
    }

    // MARK: register and register, rotate and rotate

    @Test("A registration waits for another of the same name: taken, or free", arguments: Fate.allCases)
    func registerThenRegister(fate: Fate) async throws {
        try await TestInstallation.run { it in
            let id = Users.newID()
            let answer = try await it.while(
                [UserSQL.insert(id, try Username("alice"), email: nil, phc: nil)], is: fate
            ) {
                try await it.node.post("/auth/register", ["username": "alice", "password": "correct horse"])
            }
            switch fate {
            case .commits:
                #expect(answer.status == 409)
                #expect(answer["code"] == "username-taken")
            case .rollsBack:
                #expect(answer.status == 201)
                #expect(try await it.audited("user.registered", "user:\(answer["id"])") == 1)
            }
            let rows: Int64 = try await it.database.query("SELECT count(*) AS count FROM users").one().decode("count")
            #expect(rows == 1)
        }
    }

    @Test("Two rotations wait for the ring: both name the same new key, and one is made")
    func rotateAndRotate() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let administrator = try await it.node.administrator()
            let tasks = try await it.database.transaction(timeout: 30_000_000_000) { transaction in
                try await transaction.hold("SELECT version FROM key_ring FOR UPDATE")
                let tasks = it.nodes.map { node in
                    Task { try await node.post("/admin/keys/rotate", bearer: administrator) }
                }
                try await it.untilRotationsWait(2)
                try await transaction.commit()
                return tasks
            }
            var kids: Set<String> = []
            for task in tasks {
                let answer = try await task.value
                #expect(answer.status == 202)
                kids.insert(answer["kid"])
            }
            #expect(kids.count == 1)
            let rotations: Int64 = try await it.database.query(
                "SELECT count(*) AS count FROM audit_events WHERE action = 'key.rotated'"
            ).one().decode("count")
            #expect(rotations == 1)
        }
    }
}
