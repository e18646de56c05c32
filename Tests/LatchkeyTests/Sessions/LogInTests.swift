import JOSE
import Latchkey
import LatchkeyTesting
import Testing

@Suite("Logging in")
struct LogInTests {
    @Test("a registered user logs in and acts with the token")
    func logsIn() async throws {
        try await TestInstallation.run { it in
            let tokens = try await it.node.newUser("alice")
            #expect(tokens.status == 200)
            #expect(tokens["token_type"] == "Bearer")
            let account = try await it.node.get("/account", bearer: tokens["access_token"])
            #expect(account.status == 200)
            #expect(account["username"] == "alice")
        }
    }
}
