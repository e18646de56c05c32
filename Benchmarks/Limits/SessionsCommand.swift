import ArgumentParser
import Foundation
import Latchkey
import Postgres

/// Refresh tokens of sessions made by one INSERT, for a load that ends each of them once.
struct SessionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "Makes N sessions and prints a refresh token of each.",
        discussion: "The master keys are those in LATCHKEY_KEYS_DIR.")

    @Option var count: Int
    @Option(help: "What the sessions' access tokens are for.") var audience = "http://127.0.0.1"

    func run() async throws {
        guard let folder = ProcessInfo.processInfo.environment["LATCHKEY_KEYS_DIR"] else {
            throw ValidationError("LATCHKEY_KEYS_DIR is not set: bench.py sets it")
        }
        let masterKeys = try MasterKeyFolder(folder).load()
        let sessions = try await BareSessions(count: count, audience: audience)
        for token in sessions.tokens { print(token.text(masterKeys: masterKeys)) }
        sessions.database.shutDown()
    }
}
