import JOSE
import Latchkey
import LatchkeyTesting
import Logging
import Postgres
import Testing

/// Nodes on clusters of a test's own.
struct HistoryScene: Sendable {
    let settings: Settings
    let masterKeys: MasterKeys

    /// Runs `body` with a migrated cluster and an installation's settings and master keys.
    static func run(
        options: [String: String] = [:], _ body: @Sendable (HistoryScene, OwnCluster) async throws -> Void
    ) async throws {
        try await TestInstallation.run { it in
            try await OwnCluster.run(
                options: ["wal_keep_size": "256MB"].merging(options) { $1 }, migrations: Migrations.all
            ) { cluster in
                try await body(
                    HistoryScene(settings: it.settings, masterKeys: it.node.installation.masterKeys), cluster)
            }
        }
    }

    /// Where all of these are tried, for one that takes writes.
    static func hosts(_ clusters: OwnCluster..., database: String = "postgres") -> String {
        "host=\(clusters.map(\.host).joined(separator: ",")) port=5432 user=latchkey dbname=\(database)"
    }

    func installation(_ connectionString: String, _ failover: Failover = .lossy) -> Installation {
        var settings = settings
        settings.databaseURL = connectionString
        settings.failover = failover
        return Installation(
            settings, masterKeys: masterKeys, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Runs `body` with so many nodes.
    func withNodes(
        _ count: Int, _ connectionString: String, _ failover: Failover = .lossy,
        _ body: ([TestNode]) async throws -> Void
    ) async throws {
        var nodes: [TestNode] = []
        let result: Result<Void, any Error>
        do {
            for _ in 0..<count { nodes.append(try await TestNode.start(installation(connectionString, failover))) }
            result = .success(try await body(nodes))
        } catch {
            result = .failure(error)
        }
        for node in nodes { await node.stop() }
        try result.get()
    }
}

/// What stands of a history in its database.
struct HistoryRow: Sendable, Equatable {
    let epoch: UniqueID
    let fence: Int64
    let identity: String?
    let ring: Int64

    static func read(_ connectionString: String) async throws -> HistoryRow {
        let database = Database.patient(connectionString)
        defer { database.shutDown() }
        let row = try await database.query(
            "SELECT epoch, fence, identity, version FROM feed_head, installation, key_ring"
        ).one()
        return HistoryRow(
            epoch: try row.decode("epoch"), fence: try row.decode("fence"),
            identity: try row.decodeIfPresent("identity"), ring: try row.decode("version"))
    }
}

/// Two clients from before: one whose session goes on, and one whose tokens were voided in what may be lost.
struct Witnesses: Sendable {
    let living: TestNode.Answer
    /// Used before `living`'s own.
    let used: TestNode.Answer
    let revoked: TestNode.Answer

    static func make(_ node: TestNode) async throws -> Witnesses {
        let used = try await node.newUser("alice")
        let living = try await node.refresh(used.refresh)
        let revoked = try await node.newUser("bob")
        try #require(living.status == 200 && revoked.status == 200)
        return Witnesses(living: living, used: used, revoked: revoked)
    }

    /// Nothing that was handed out by the lost history is taken by the node, and new logins are served.
    func expectVoid(_ node: TestNode, _ others: TestNode.Answer...) async throws {
        for tokens in [living, used, revoked] + others {
            #expect(try await node.admits(tokens) == false)
            #expect(try await node.refresh(tokens.refresh).status == 400)
        }
        let again = try await node.logIn("alice")
        #expect(again.status == 200)
        #expect(try await node.admits(again))
        #expect(try await node.refresh(again.refresh).status == 200)
        let sessions = try await node.get("/account/sessions", bearer: again.access).json["items"]?.array ?? []
        #expect(sessions.allSatisfy { $0.object?["sid"]?.string != (try? living.sid.text) })
        let published = try await CompromiseScene.published(node)
        #expect(published.contains(try again.signer))
        #expect(!published.contains(try living.signer))
    }

    /// Everything is as it was, but what had ended.
    func expectAlive(_ node: TestNode) async throws {
        #expect(try await node.admits(living))
        #expect(try await node.refresh(living.refresh).status == 200)
    }
}

extension RevocationList {
    /// Has read of another epoch; while a node has none it has only forgotten.
    func isOf(anotherThan epoch: UniqueID) -> Bool { position.map { $0.epoch != epoch } ?? false }
}
