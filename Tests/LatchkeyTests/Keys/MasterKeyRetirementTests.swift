import Foundation
import JOSE
import LatchkeyTesting
import LibCrypto
import Postgres
import Testing

@testable import Latchkey

@Suite("Retiring a master key") struct MasterKeyRetirementTests {
    @Test func `is refused while it is in use, was so until a moment ago, or seals a signing key`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            #expect(try await scene.refusal(of: 1, .yes)?.contains("rotate it first") == true)
            await #expect(throws: Rejection.notFound(what: "master key of that version")) {
                try await scene.retire(7, .yes)
            }
            _ = try await scene.rotateEverywhere()
            #expect(try await scene.refusal(of: 1, .yes)?.contains("a moment ago") == true)
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await scene.age(by: 120)
            // Without a word to the nodes, which would seal it again.
            let key = try #require(try await it.node.installation.signingKeys.all().keys.first)
            let bytes = try AES256GCM.seal(
                try key.unseal(with: it.node.installation.masterKeys),
                key: try it.node.installation.masterKeys.sealingKey(version: 1), associatedData: key.sealPlace)
            try await it.database.query(
                "UPDATE signing_keys SET sealed = \(Bytes(bytes)), master_key_version = 1 WHERE kid = \(key.kid)")
            let refusal = try #require(try await scene.refusal(of: 1, .yes))
            #expect(refusal.contains("1 signing key"))
            #expect(refusal.contains("reseal"))
        }
    }

    @Test func `is refused while a session born under it may live; then its tokens are invalid everywhere`()
        async throws
    {
        try await TestInstallation.run(nodes: 2) { it in
            let scene = MasterKeyScene(it: it)
            let alice = try await it.node.newUser("alice")
            // A session's id begins with the time of its birth.
            try await it.database.query(
                "UPDATE sessions SET sid = overlay(sid::text PLACING '0100' FROM 1 FOR 4)::uuid")
            let bob = try await it.node.newUser("bob")
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await scene.age(by: 120)
            #expect(try await scene.refusal(of: 1)?.contains("1 session, the last until 2") == true)
            #expect(try await it.node.revoke(alice.refresh).status == 200)
            #expect(try await scene.refusal(of: 1) == nil)
            #expect(await becomesTrue { it.nodes.allSatisfy { $0.installation.masterKeys.versions == [2] } })
            for node in it.nodes {
                let answer = try await node.refresh(bob.refresh)
                #expect(answer.status == 400)
                #expect(answer["error"] == "invalid_grant")
                #expect(try await node.logIn("bob").status == 200)
            }
        }
    }

    /// As a database is that was served before records were kept.
    private func forgetMinting(_ it: TestInstallation, of version: Int16) async throws {
        try await it.database.batch([
            "UPDATE master_keys SET minting_from = NULL WHERE version = \(version)",
            "UPDATE key_ring SET version = version + 1",
        ])
    }

    @Test func `counts the sessions of a version that was in use before that was written down`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await it.node.newUser("alice")
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await it.database.query(
                "UPDATE sessions SET sid = overlay(sid::text PLACING '0100' FROM 1 FOR 4)::uuid")
            try await scene.age(by: 120)
            try await forgetMinting(it, of: 1)
            let rows = try await scene.command { try await $0.administration.list() }
            #expect(rows.map { $0.object?["state"]?.string } == ["superseded", "current"])
            #expect(rows.first?.object?["sessions"]?.int == 1)
            #expect(try await scene.refusal(of: 1)?.contains("1 session, the last until 2") == true)
        }
    }

    @Test func `waits out the moment of change by the clock that it was written by`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            // A node has seen a later time: the steady clock is an hour ahead.
            try await it.database.query("UPDATE node_ticks SET seen_at = clock_timestamp() + interval '1 hour'")
            #expect(try await scene.refusal(of: 1, .yes)?.contains("a moment ago") == true)
        }
    }

    @Test func `is refused where the version came into use while it was looked at`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            let ring = it.node.installation.masterKeyRing
            try await forgetMinting(it, of: 1)
            let seen = try #require(try await ring.readAgain().first)
            #expect(seen.mintingFrom == nil)
            try await it.database.query("UPDATE master_keys SET minting_from = clock_timestamp() WHERE version = 1")
            do {
                try await ring.retire(seen, inSpiteOf: nil, origin: MasterKeyScene.origin)
                Issue.record("it was retired")
            } catch let conflict as MasterKeyConflict {
                #expect(conflict.description.contains("come into use"))
            }
            #expect(try await ring.readAgain().first?.retiredAt == nil)
        }
    }

    @Test func `says how many sessions are left and until when, and with force does not wait for them`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let alice = try await it.node.newUser("alice")
            _ = try await it.node.newUser("bob")
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            // Both were born long before the second version: the time that has passed is put into their ids.
            try await it.database.query(
                "UPDATE sessions SET sid = overlay(sid::text PLACING '0100' FROM 1 FOR 4)::uuid WHERE ended_at IS NULL")
            try await scene.age(by: 61)
            let refusal = try #require(try await scene.refusal(of: 1))
            #expect(refusal.contains("2 sessions, the last until 2"))
            #expect(try await it.node.refresh(alice.refresh).status == 200)

            #expect(try await scene.refusal(of: 1, .yes) == nil)
            #expect(await becomesTrue { it.node.installation.masterKeys.versions == [2] })
            #expect(try await it.node.refresh(alice.refresh)["error"] == "invalid_grant")
            #expect(try await it.audited("master-key.retired", "master-key:1") == 1)
        }
    }

    @Test func `is final: its file is not taken again, and a node starts without it`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await scene.age(by: 120)
            try await scene.retire(1)
            #expect(await becomesTrue { it.node.installation.masterKeys.versions == [2] })
            try await it.node.installation.masterKeyRing.lookAgain()
            #expect(it.node.installation.masterKeys.versions == [2])
            try FileManager.default.removeItem(atPath: scene.folder.file(1))
            try await scene.withNode { node, _ async throws in
                #expect(node.installation.masterKeys.versions == [2])
                #expect(try await node.newUser("alice").status == 200)
            }
            await #expect(throws: Rejection.notFound(what: "master key of that version")) { try await scene.retire(1) }
            // The node that has ended would hold it up for a minute.
            try await scene.forgetTicks()
            #expect(try await scene.rotateEverywhere() == 3, "no number is given twice")
        }
    }

    private static func client(of it: TestInstallation) async throws -> RegisteredClient {
        try RegisteredClient(
            try await it.node.post(
                "/admin/clients",
                ["client_name": "reports", "grant_types": ["client_credentials"], "scope": "users:read"],
                bearer: try await it.node.administrator()))
    }

    @Test func `waits for client secrets, which move when they are next shown`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let client = try await Self.client(of: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await it.database.query("UPDATE sessions SET sid = overlay(sid::text PLACING 'ff' FROM 1 FOR 2)::uuid")
            try await scene.age(by: 120)
            func stored() async throws -> Int16 {
                try await it.database.query("SELECT secret_key FROM clients WHERE id = \(client.id)").one()
                    .decode("secret_key")
            }
            let asked = [("grant_type", "client_credentials")]
            let wrong = client.with(secret: client.secret + "x")
            #expect(try await wrong.post(it.node, "/oauth2/token", asked).status == 401)
            #expect(try await stored() == 1, "a wrong secret moves nothing")
            #expect(try await scene.refusal(of: 1)?.contains("1 client secret") == true)

            #expect(try await client.post(it.node, "/oauth2/token", asked).status == 200)
            #expect(try await stored() == 2)
            #expect(try await client.post(it.node, "/oauth2/token", asked).status == 200)
            #expect(try await wrong.post(it.node, "/oauth2/token", asked).status == 401)
            #expect(try await scene.refusal(of: 1) == nil)
        }
    }

    @Test func `with force leaves a client's secret invalid, not undecided`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let client = try await Self.client(of: it)
            _ = try await scene.rotateEverywhere()
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await scene.age(by: 120)
            try await scene.retire(1, .yes)
            #expect(await becomesTrue { it.node.installation.masterKeys.versions == [2] })
            let answer = try await client.post(it.node, "/oauth2/token", [("grant_type", "client_credentials")])
            #expect(answer.status == 401)
            #expect(answer["error"] == "invalid_client")
        }
    }

    @Test func `lets devices made known under it be unknown again`() async throws {
        try await TestInstallation.run { it in
            let scene = MasterKeyScene(it: it)
            let alice = try await it.node.newUser("alice")
            let device = alice["device_token"]
            let keys = it.node.installation.masterKeys
            #expect(DeviceToken(device, masterKeys: keys) != nil)
            _ = try await scene.rotateEverywhere()
            #expect(DeviceToken(device, masterKeys: it.node.installation.masterKeys) != nil)
            #expect(try await becomesTrue { try await scene.sealed(under: 1) == 0 })
            try await scene.age(by: 120)
            try await scene.retire(1, .yes)
            #expect(await becomesTrue { it.node.installation.masterKeys.versions == [2] })
            #expect(DeviceToken(device, masterKeys: it.node.installation.masterKeys) == nil)
            let again = try await it.node.logIn("alice", device: device)
            #expect(again.status == 200)
            #expect(DeviceToken(again["device_token"], masterKeys: it.node.installation.masterKeys) != nil)
        }
    }
}
