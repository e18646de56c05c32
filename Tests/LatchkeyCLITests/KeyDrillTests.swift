import Foundation
import JOSE
import LatchkeyTesting
import Postgres
import Testing

/// Keys that change under load, in real time: `make drill-keys ROTATIONS=100`, and a few rotations in every `make test`.
@Suite struct KeyDrillTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let rotations = environment["LATCHKEY_DRILL_ROTATIONS"].flatMap { Int($0) } ?? 8

    /// The shortest lead that these allow, 1 + 1 + 2, so that each rotation goes to the edge of what is promised: a
    /// standby signs 4 s after it was published, and verifiers fetch every second. Keys leave the JWKS meanwhile.
    private static let settings = [
        "LATCHKEY_JWKS_MAX_AGE": "1", "LATCHKEY_CLOCK_LEEWAY": "1", "LATCHKEY_KEY_PUBLISH_LEAD": "4",
        "LATCHKEY_ACCESS_TOKEN_TTL": "5",
    ]

    @Test func `Rotations under load, with nodes killed meanwhile, fail no verification by PyJWT or Authlib`()
        async throws
    {
        try await ServeGround.run(settings: Self.settings) { ground in
            try await LatchkeyBinary.run(
                ["users", "create", "root", "--role", "admin"], environment: ground.environment,
                input: "correct horse\n"
            ).expectSuccess()
            try await ground.withNodes(2) { nodes in
                var drill = Drill(ground: ground, nodes: nodes)
                let strangers = try await strangers(at: nodes.map(\.site))
                let began = ContinuousClock.now
                for number in 1...Self.rotations { try await drill.rotate(number) }
                let spent = ContinuousClock.now - began
                // The last key must have signed before the strangers are asked.
                try await drill.untilActive()
                strangers.send(SIGTERM)
                let transcript = try await strangers.end(within: 60)
                try await drill.end()

                try #require(transcript.exit == .code(0), "\(transcript.errors)")
                let told = try JSONValue.parse(Array((transcript.outputLines.last ?? "").utf8)).object ?? [:]
                print("key drill: \(Self.rotations) rotations in \(spent), \(drill.killed) nodes killed, \(told.text)")
                #expect(told["failures"] == 0, "\(transcript.errors)")
                #expect(told["overlaps"] == 0, "two keys signed at one time")
                // Every key but perhaps the last, which has only just begun.
                #expect((told["keys"]?.int ?? 0) >= Int64(Self.rotations))
                // Three verifiers, twice each; what came too late on a busy machine is not counted for anything.
                let (tokens, verified) = (told["tokens"]?.int ?? 0, told["verified"]?.int ?? 0)
                #expect(tokens > 20 * Int64(Self.rotations))
                #expect(verified + (told["late"]?.int ?? 0) == 6 * tokens)
                #expect(verified > 5 * tokens)

                try await ground.withDatabase { database in
                    let rotated: Int64 = try await database.query(
                        "SELECT count(*) AS count FROM audit_events WHERE action = 'key.rotated'"
                    ).one().decode("count")
                    #expect(rotated == Int64(Self.rotations), "two nodes told at once made one new key each time")
                }
            }
        }
    }

    /// Eight sessions with three verifiers each, at both nodes.
    private func strangers(at sites: [Site]) async throws -> ChildProcess {
        _ = try await sites[0].newUser("ada")
        let given: JSONValue = [
            "nodes": .array(sites.map { .string($0.issuer) }), "issuer": "https://id.example", "username": "ada",
            "password": "correct horse", "max_age": 1, "leeway": 1, "sessions": 8,
        ]
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/clients/key_drill.py"
        let process = try await ChildProcess.start(
            [try await StrangersPython.interpreter(), "-B", script],
            input: String(decoding: given.encoded(), as: UTF8.self))
        _ = try await process.line(after: "running")
        return process
    }
}

/// Two nodes that are told to rotate at once, time after time; now and then one of them dies by `kill -9` meanwhile.
private struct Drill {
    let ground: ServeGround
    var nodes: [ServeNode]
    private(set) var killed = 0
    private var signer = ""
    private var next = ""

    init(ground: ServeGround, nodes: [ServeNode]) {
        self.ground = ground
        self.nodes = nodes
    }

    /// One rotation, asked of both nodes at once; returns when it is made. In every third one node or the other is
    /// killed at a random moment and started again.
    mutating func rotate(_ number: Int) async throws {
        try await untilActive()
        let victim = number % 3 == 0 ? (number / 3) % 2 : nil
        let (nodes, ground, from) = (nodes, ground, signer)
        async let replaced = { () async throws -> ServeNode? in
            guard let victim else { return nil }
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...700)))
            nodes[victim].process.send(SIGKILL)
            try await nodes[victim].process.end()
            let node = try await ground.start(port: nodes[victim].site.port)
            _ = try await node.process.line(after: "ready: ")
            return node
        }()
        var made: Set<String> = []
        let limit = ContinuousClock.now + .seconds(30)
        while made.isEmpty, ContinuousClock.now < limit {
            async let one = Self.ask(nodes[0].site, from: from)
            async let other = Self.ask(nodes[1].site, from: from)
            for kid in [await one, await other] { if let kid { made.insert(kid) } }
            if made.isEmpty { try await Task.sleep(for: .milliseconds(50)) }
        }
        if let victim, let node = try await replaced {
            self.nodes[victim] = node
            killed += 1
        }
        try #require(made.count == 1, "rotation \(number) away from \(from) made \(made)")
        next = made.first ?? ""
    }

    /// Waits until the key of the last rotation signs.
    mutating func untilActive() async throws {
        let limit = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < limit {
            for node in nodes {
                guard let kid = await Self.active(node.site), next.isEmpty || kid == next else { continue }
                signer = kid
                return
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("\(next) never signed")
    }

    func end() async throws {
        for node in nodes {
            node.process.send(SIGTERM)
            #expect(try await node.process.end(within: 30).exit == .code(0))
        }
    }

    /// The key that a node says it has rotated to; nil where none is ripe or the node does not answer.
    private static func ask(_ site: Site, from kid: String) async -> String? {
        // The loop asks again, and the other node meanwhile.
        try? await Site.$asksAgain.withValue(false) { () async throws -> String? in
            let token = try await site.logIn("root")["access_token"]
            let answer = try await site.post("/admin/keys/rotate", ["from": .string(kid)], bearer: token)
            return answer.status == 202 ? answer["kid"] : nil
        }
    }

    private static func active(_ site: Site) async -> String? {
        try? await Site.$asksAgain.withValue(false) { () async throws -> String? in
            let token = try await site.logIn("root")["access_token"]
            let keys = try await site.get("/admin/keys", bearer: token).json["items"]?.array?.compactMap(\.object)
            return keys?.first { $0["state"] == "active" }?["kid"]?.string
        }
    }
}

extension JSONObject {
    fileprivate var text: String { String(decoding: JSONValue.object(self).encoded(), as: UTF8.self) }
}

extension ChildProcess.Transcript {
    fileprivate func expectSuccess() { #expect(exit == .code(0), "\(errors)") }
}
