import JOSE
import Latchkey
import LatchkeyTesting
import LatchkeyVerifier
import Postgres
import Testing

/// An administrator who logs on again by one refresh whenever a key goes, as every client does, and what a compromise is
/// looked at by.
actor CompromiseScene {
    let it: TestInstallation
    private var tokens: TestNode.Answer

    init(_ it: TestInstallation) async throws {
        self.it = it
        _ = try await it.node.administrator()
        tokens = try await it.node.logIn("root")
        try #require(tokens.status == 200)
    }

    /// A fresh access token, under the key that signs now.
    func administrator() async throws -> String {
        tokens = try await it.node.refresh(tokens.refresh)
        try #require(tokens.status == 200)
        return tokens.access
    }

    func foresee(_ kid: String, on node: TestNode? = nil) async throws -> TestNode.Answer {
        try await (node ?? it.node).post("/admin/keys/\(kid)/compromise", bearer: try await administrator())
    }

    func compromise(_ kid: String, on node: TestNode? = nil) async throws -> TestNode.Answer {
        try await (node ?? it.node).post(
            "/admin/keys/\(kid)/compromise", ["reason": "a drill", "confirm": true],
            bearer: try await administrator())
    }

    func restore(_ kid: String, on node: TestNode? = nil) async throws -> TestNode.Answer {
        try await (node ?? it.node).post(
            "/admin/keys/\(kid)/restore", ["reason": "a mistake"], bearer: try await administrator())
    }

    func rotate() async throws -> String {
        let answer = try await it.node.post("/admin/keys/rotate", bearer: try await administrator())
        try #require(answer.status == 202)
        return answer["kid"]
    }

    /// Lets the two seconds of a rotation last longer.
    func stretchRotation() async throws {
        try await it.database.batch([
            """
            UPDATE signing_keys
            SET retires_at = CASE WHEN retires_at > now() THEN retires_at + interval '5 seconds' ELSE retires_at END,
                activates_at = CASE WHEN activates_at > now() THEN activates_at + interval '5 seconds' ELSE activates_at END
            """,
            "UPDATE key_ring SET version = version + 1",
        ])
    }

    /// By its state in the list of keys.
    func keys(_ state: SigningKeyState) async throws -> [String] {
        let items = try await it.node.get("/admin/keys", bearer: try await administrator()).json["items"]?.array ?? []
        return items.compactMap(\.object).filter { $0["state"]?.string == state.rawValue }
            .compactMap { $0["kid"]?.string }
    }

    /// The `kid`s of the JWKS that the node serves.
    static func published(_ node: TestNode) async throws -> [String] {
        let keys = try await node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
        return keys.compactMap { $0.object?["kid"]?.string }
    }

    /// What the permanent part of the list says of the key, from the oldest entry on: 3 it is revoked, 4 that is lifted.
    func entries(_ kid: String) async throws -> [Int16] {
        var kinds: [Int16] = []
        for row in try await it.database.query("SELECT kind FROM revoked_keys WHERE kid = \(kid) ORDER BY seq").rows {
            kinds.append(try row.decode("kind"))
        }
        return kinds
    }
}

/// A resource service that fetched the JWKS once and never again, and follows a node's revocations by its stream over
/// HTTP: nothing of the node's own memory tells it.
struct Follower: Sendable {
    /// What the stream has brought.
    private struct Heard: RevocationLookup {
        let feed: FeedFollower

        func contains(keyID: String) -> Bool { feed.holds(keyID: keyID) }
        func contains(tokenID: UniqueID, sessionID: UniqueID?) -> Bool {
            feed.holds(tokenID) || sessionID.map { feed.holds($0) } ?? false
        }
    }

    private let node: TestNode
    private let keys: VerificationKeys
    private let verifier: TokenVerifier
    private let heard: Heard

    /// Returns once it has the whole list.
    init(_ node: TestNode) async throws {
        self.node = node
        let document = try await node.get("/.well-known/jwks.json").json["keys"]?.array ?? []
        keys = VerificationKeys(try document.map { try JSONWebKey($0) })
        let settings = node.installation.settings
        verifier = TokenVerifier(issuer: settings.issuer, audience: settings.audience, leeway: settings.keys.leeway)
        let feed = try await FeedFollower.follow(node)
        heard = Heard(feed: feed)
        try #require(await becomesTrue { feed.position != nil })
    }

    func stop() async { await heard.feed.stop() }

    /// - Throws: `TokenRejection`, other than that the token is revoked.
    func admits(_ tokens: TestNode.Answer) throws -> Bool {
        let now = try #require(node.installation.clock.now())
        do throws(TokenRejection) {
            _ = try verifier.verify(tokens.access, keys: keys, revocations: heard, now: now.seconds)
            return true
        } catch {
            guard error == .revoked else { throw error }
            return false
        }
    }
}
