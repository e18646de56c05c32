import AsyncHTTPClient
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import Testing

/// `latchkey keys` and the verifiers that name themselves.
@Suite struct VerifierTests {
    private func fetch(_ site: Site, as name: String, holding kids: [String]) async throws {
        var request = HTTPClientRequest(url: site.issuer + "/.well-known/jwks.json")
        let list = kids.map { "\"\($0)\"" }.joined(separator: " ")
        request.headers.add(name: "latchkey-verifier", value: #"name="\#(name)", kids=(\#(list))"#)
        let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        _ = try await answer.body.collect(upTo: 1 << 20)
        #expect(answer.status == .ok)
        // The node writes down what it has seen when it is asked.
        #expect(try await site.get("/admin/keys/verifiers", bearer: administrator(site)).status == 200)
    }

    private func administrator(_ site: Site) async throws -> String {
        try await site.logIn("admin", "correct horse")["access_token"]
    }

    @Test func `A rotation waits for the verifiers, says for whom, and is made when they hold the next key`()
        async throws
    {
        try await Dev.withFolder { folder in
            try await Dev.run(in: folder, environment: ["LATCHKEY_ADMIN_PASSWORD": "correct horse"]) { dev in
                let kids = try await dev.site.keyIDs()
                try await fetch(dev.site, as: "orders", holding: [])
                let refused = try await dev.command("keys", "rotate", "--wait-for-verifiers", "--timeout", "0")
                #expect(refused.exit == .code(1))
                #expect(refused.output == "")
                #expect(refused.errors.contains("after 0 s 1 verifier (orders) is without the key"))

                let listed = try #require(try await dev.json("keys", "list")?.array).compactMap(\.object)
                #expect(listed.count == 3)
                for key in listed { #expect(key["unknown_to"] == ["orders"]) }
                let table = try await dev.command("keys", "list").outputLines
                #expect(table[0].hasSuffix("TOKENS_ALIVE  UNKNOWN_TO"))
                #expect(table.dropFirst().allSatisfy { $0.hasSuffix("orders") })
                #expect(try await dev.command("keys", "verifiers").outputLines[1].hasPrefix("orders "))
                let seen = try await dev.json("keys", "verifiers")?.object?["items"]?.array
                #expect(seen?.first?.object?["name"] == "orders")

                let waiting = try await LatchkeyBinary.start([
                    "keys", "rotate", "--wait-for-verifiers", "--timeout", "60", "--data", folder.path,
                ])
                _ = try await waiting.await("its progress", within: 30) { transcript in
                    transcript.errors.contains("waiting: 1 verifier (orders) is without the key") ? true : nil
                }
                try await fetch(dev.site, as: "orders", holding: kids)
                let done = try await waiting.end()
                #expect(done.exit == .code(0), "\(done.errors)")
                #expect(done.outputLines.first?.hasPrefix("kid: ") == true)
                #expect(done.errorLines.count == 1)
            }
        }
    }
}
