import JOSE
import LatchkeyTesting
import LatchkeyVerifier
import Logging
import Postgres
import Testing

@testable import Latchkey

/// Every path on which an access token dies before its time.
enum Death: Sendable, CaseIterable, CustomStringConvertible {
    case session(Ending)
    case client(ClientEnding)
    /// RFC 7009.
    case revokeAccessToken
    case administratorRevokesAccessToken
    /// A void refresh token, and one that is newer than its session's row.
    case reuse, rollback
    case compromise

    static var allCases: [Death] {
        Ending.allCases.map { .session($0) } + ClientEnding.allCases.map { .client($0) } + [
            .revokeAccessToken, .administratorRevokesAccessToken, .reuse, .rollback, .compromise,
        ]
    }

    var description: String {
        switch self {
        case .session(let ending): ending.rawValue
        case .client(let ending): "client: \(ending)"
        case .revokeAccessToken: "revokeAccessToken"
        case .administratorRevokesAccessToken: "administratorRevokesAccessToken"
        case .reuse: "reuse"
        case .rollback: "rollback"
        case .compromise: "compromise"
        }
    }
}

@Suite("A token's death")
struct DeathTests {
    /// A token that is alive, by what the list will name it, and how it dies.
    private struct Scene: Sendable {
        enum Name: Sendable { case id(UniqueID), key(String) }

        let token: String
        let probe: String
        let name: Name
        /// Where the status lists have its bit.
        let status: Reference?
        /// The answer of the call that kills it; nil where nobody asks for a position.
        let die: @Sendable () async throws -> TestNode.Answer
    }

    private static func scene(_ death: Death, _ it: TestInstallation) async throws -> Scene {
        func scene(
            _ tokens: TestNode.Answer, _ name: Scene.Name, probe: String = "/account",
            _ die: @escaping @Sendable () async throws -> TestNode.Answer
        ) throws -> Scene {
            Scene(
                token: tokens.access, probe: probe, name: name, status: try Reference(tokens), die: die)
        }
        switch death {
        case .session(let ending):
            let ground = try await Ending.scene(it, administrator: try await Ending.administrator(it))
            return try scene(ground.victim, .id(try ground.victim.sid)) {
                try await ending.perform(ground, on: it.node)
            }
        case .client(let ending):
            let administrator = try await it.node.administrator()
            let client = try await it.node.newClient(
                administrator, scope: "users:read orders:read", grants: ["client_credentials", "refresh_token"])
            let token = try await client.token(it.node)
            return try scene(token, .id(try token.sid), probe: "/admin/users?limit=1") {
                try await ending.perform(client, administrator, on: it.node)
            }
        case .revokeAccessToken:
            let tokens = try await it.node.newUser("alice")
            return try scene(tokens, .id(try tokens.tokenID)) { try await it.node.revoke(tokens.access) }
        case .administratorRevokesAccessToken:
            let administrator = try await it.node.administrator()
            let tokens = try await it.node.newUser("alice")
            return try scene(tokens, .id(try tokens.tokenID)) {
                try await it.node.post(
                    "/admin/revocations", ["token": .string(tokens.access), "reason": "a test"], bearer: administrator)
            }
        case .reuse, .rollback:
            let born = try await it.node.newUser("alice")
            let second = try await it.node.refresh(born.refresh)
            let third = try await it.node.refresh(second.refresh)
            // As a restored backup would have it.
            if death.description == "rollback" {
                try await it.database.query("UPDATE sessions SET gen = 2, conf = 1")
            }
            let presented = death.description == "rollback" ? third.refresh : born.refresh
            return try scene(third, .id(try third.sid)) { try await it.node.refresh(presented) }
        case .compromise:
            let ground = try await CompromiseScene(it)
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            return try scene(tokens, .key(kid)) { try await ground.compromise(kid) }
        }
    }

    @Test("is known on this node at once, on another and to every follower soon", arguments: Death.allCases)
    func reaches(death: Death) async throws {
        try await TestInstallation.withStatusLists(nodes: 2) { it in
            let scene = try await Self.scene(death, it)
            let status = try #require(scene.status)
            for node in it.nodes {
                #expect(try await node.get(scene.probe, bearer: scene.token).status == 200)
                #expect(try await status.isSet(node) == false)
            }
            var followers: [FeedFollower] = []
            for node in it.nodes { followers.append(try await FeedFollower.follow(node)) }
            let (here, elsewhere) = (followers[0], followers[1])
            #expect(await becomesTrue { here.messages.count > 0 && elsewhere.messages.count > 0 })
            let before = try #require(here.position)

            let answer = try await scene.die()
            #expect(try await it.node.get(scene.probe, bearer: scene.token).status == 401)
            #expect(
                try await becomesTrue(within: .seconds(2)) {
                    try await it.nodes[1].get(scene.probe, bearer: scene.token).status == 401
                })
            let position = answer.header("latchkey-position").flatMap { FeedPosition(word: $0) }
            if !["reuse", "rollback"].contains(death.description) { #expect(position != nil) }
            for follower in followers {
                #expect(
                    await becomesTrue(within: .seconds(2)) {
                        switch scene.name {
                        case .id(let id): follower.holds(id)
                        case .key(let kid): follower.holds(keyID: kid)
                        }
                    })
                // "Applied here", as the caller that has revoked would ask.
                if let position {
                    #expect(
                        await becomesTrue {
                            follower.position.flatMap { FeedPosition(word: $0) }
                                .map { $0.epoch == position.epoch && $0.seq >= position.seq } ?? false
                        })
                }
                await follower.stop()
                for message in try follower.received() { try await message.verify(it.node) }
            }
            // And to verifiers that speak the standard, where it is more than one token's.
            if case .id(let id) = scene.name, StatusIndex(of: id) != nil {
                for node in it.nodes {
                    #expect(try await becomesTrue(within: .seconds(3)) { try await status.isSet(node) == true })
                }
            }
            // And to one that comes back with its old position, or polls.
            let delta = try ReceivedMessage(try await it.nodes[1].feed("?after=\(before)"))
            switch scene.name {
            case .id(let id): #expect(delta.ids.contains(id))
            case .key(let kid): #expect(delta.keyIDs() == [kid])
            }
        }
    }
    /// `latchkey restored`. Of the deaths above none begins a new epoch: this one dies with its key, for whoever follows anew.
    @Test("by a raised fence is known on every node, and to every follower by the key's name")
    func raisedFence() async throws {
        try await TestInstallation.run(nodes: 2) { it in
            let tokens = try await it.node.newUser("alice")
            let kid = try tokens.signer
            let feedKeys = try #require(
                try await it.node.get("/.well-known/openid-configuration").json["latchkey_revocations_jwks"])
            let verifiers = try it.nodes.map { node in
                let base = "http://127.0.0.1:\(node.port)"
                return try Verifier(
                    issuer: it.settings.issuer, audience: it.settings.issuer, staleAfter: .seconds(30),
                    whenStale: .refuse,
                    source: .endpoints(
                        keys: "\(base)/.well-known/jwks.json", revocations: "\(base)/revocations",
                        feedKeys: String(decoding: feedKeys.encoded(), as: UTF8.self)),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                for verifier in verifiers {
                    group.addTask { try await verifier.run() }
                    try await verifier.waitUntilReady(within: .seconds(30))
                    #expect(await Self.rejection(tokens.access, by: verifier) == nil)
                }
                var followers: [FeedFollower] = []
                for node in it.nodes { followers.append(try await FeedFollower.follow(node)) }
                for follower in followers { #expect(await becomesTrue { follower.position != nil }) }

                let outcome = try await it.node.installation.lostHistory.begin(origin: Origin(actor: "test"))
                #expect(outcome.kids == [kid])
                for (node, follower) in zip(it.nodes, followers) {
                    #expect(
                        try await becomesTrue(within: .seconds(5)) {
                            try await node.get("/account", bearer: tokens.access).status == 401
                        })
                    #expect(try await node.refresh(tokens.refresh).status == 400)
                    #expect(
                        await becomesTrue(within: .seconds(5)) { follower.hasEnded || follower.holds(keyID: kid) })
                    await follower.stop()
                    let again = try await FeedFollower.follow(
                        node, headers: [("last-event-id", try #require(follower.position))])
                    #expect(await becomesTrue(within: .seconds(5)) { again.holds(keyID: kid) })
                    await again.stop()
                    for message in try again.received() { try await message.verify(node) }
                }
                // (Where it has fetched the keys already, it knows none of that name.)
                for verifier in verifiers {
                    #expect(
                        await becomesTrue(within: .seconds(5)) {
                            [.revoked, .unknownKey].contains(await Self.rejection(tokens.access, by: verifier))
                        })
                }
            }
        }
    }

    private static func rejection(_ token: String, by verifier: Verifier) async -> TokenRejection? {
        do throws(TokenRejection) {
            _ = try await verifier.verify(token)
            return nil
        } catch {
            return error
        }
    }
}
