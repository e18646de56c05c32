import Foundation

/// The real binary, built beside the tests.
enum LatchkeyBinary {
    /// `…/debug/latchkey`, next to the executable of the tests.
    static let path: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/latchkey"
    }()

    /// Hashing that costs next to nothing, and a management port of nobody else's.
    static let environment = [
        "LATCHKEY_ARGON2_MEMORY_KIB": "64", "LATCHKEY_ARGON2_ITERATIONS": "1", "LATCHKEY_MANAGEMENT_PORT": "0",
    ]

    /// Starts it and does not wait.
    /// - Parameter prefix: a program that becomes `latchkey`, such as `env -C DIR`.
    static func start(
        _ arguments: [String], prefix: [String] = [], environment: [String: String] = [:], input: String = ""
    ) async throws -> ChildProcess {
        try await ChildProcess.start(
            prefix + [path] + arguments, environment: Self.environment.merging(environment) { $1 }, input: input)
    }

    /// Runs it to its end.
    static func run(
        _ arguments: [String], prefix: [String] = [], environment: [String: String] = [:], input: String = ""
    ) async throws -> ChildProcess.Transcript {
        try await start(arguments, prefix: prefix, environment: environment, input: input).end()
    }
}

extension ChildProcess.Transcript {
    /// One line on standard error that holds every one of `words`, and exit status 1.
    func refused(_ words: String...) -> Bool {
        exit == .code(1) && errorLines.count == 1 && words.allSatisfy { errors.contains($0) }
    }
}
