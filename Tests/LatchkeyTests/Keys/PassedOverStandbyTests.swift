import JOSE
import LatchkeyTesting
import Logging
import Postgres
import Synchronization
import Testing

@testable import Latchkey

@Suite struct `A standby that does not open` {
    /// Those that would sign next, in that order.
    private func damage(_ it: TestInstallation, _ count: Int64) async throws -> [String] {
        try await it.database.query(
            """
            UPDATE signing_keys SET sealed = set_byte(sealed, 40, 255 - get_byte(sealed, 40))
            WHERE kid IN (
                SELECT kid FROM signing_keys WHERE activates_at IS NULL AND compromised_at IS NULL
                ORDER BY published_at, created_at, kid LIMIT \(count))
            RETURNING kid
            """
        ).rows.map { try $0.decode("kid") }
    }

    @Test func `is passed over by a rotation by hand, and so foreseen`() async throws {
        try await TestInstallation.run { it in
            let administrator = try await it.node.administrator()
            let signer = try await it.node.logIn("root").signer
            let first = try #require(try await damage(it, 1).first)
            let foreseen = try await it.node.installation.signingKeys.rotation(from: signer)
            let answer = try await it.node.post("/admin/keys/rotate", bearer: administrator)
            #expect(answer.status == 202, "\(answer["detail"])")
            #expect(answer["kid"] != first && answer["kid"] != signer)
            guard case .rotate(_, let next, _) = foreseen else {
                Issue.record("\(foreseen)")
                return
            }
            #expect(next == answer["kid"])
            #expect(try await becomesTrue { try await it.node.logIn("root").signer == next })
            // Of those that are left the next one has to ripen: the damaged one was ripe all the while.
            #expect(
                try await becomesTrue {
                    let again = try await it.node.post(
                        "/admin/keys/rotate", ["from": .string(next)], bearer: administrator)
                    return again.status == 409 && again["code"] == "no-ripe-standby"
                })
        }
    }

    @Test(.eachAnswerCounts) func `as no other does refuses a rotation for now, and the log says why`() async throws {
        let lines = Mutex<[String]>([])
        let logger = Logger(label: "test") { label in
            JSONLogHandler(label: label, logLevel: .error) { line in
                let text = String(decoding: line, as: UTF8.self)
                lines.withLock { $0.append(text) }
            }
        }
        try await TestInstallation.run(logger: logger) { it in
            let administrator = try await it.node.administrator()
            let signer = try await it.node.logIn("root").signer
            let damaged = try await damage(it, 2)
            let answer = try await it.node.post("/admin/keys/rotate", bearer: administrator)
            #expect(answer.status == 503)
            #expect(answer.header("retry-after") == "5")
            #expect(damaged.allSatisfy { !answer["detail"].contains($0) })
            let logged = lines.withLock { lines in
                lines.contains { line in
                    line.contains("request failed")
                        && damaged.contains { line.contains("signing key \($0) does not open") }
                }
            }
            #expect(logged)
            #expect(try await it.node.logIn("root").signer == signer)
            #expect(try await it.node.installation.signingKeys.all().keys.count == 3)
        }
    }
}
