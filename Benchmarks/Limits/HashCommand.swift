import ArgumentParser
import Latchkey

/// The hash that the benchmark's accounts share, so that thousands of them are made in seconds.
struct HashCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hash", abstract: "The argon2id PHC string of the password on standard input.")

    func run() async throws {
        guard let text = readLine() else { throw ValidationError("give a password on standard input") }
        let hasher = PasswordHasher(.init())
        print(try await hasher.hash(try Password(setting: text)).text)
        hasher.shutdown()
    }
}
