import ArgumentParser
import Foundation
import LatchkeyVerifier

/// What a verdict costs a service: the library's verifier as a service runs it, on one core, for several issuers by turns.
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Verifies the tokens of living issuers on one core, by turns.",
        discussion: "Name each issuer and its tokens: more than a verifier remembers, or it would only look them up.")

    @Option(help: "An issuer's URL.") var issuer: [String]
    @Option(help: "A file with an access token a line, of the issuer at the same place.") var tokens: [String]
    @Option(help: "Seconds for each of the turns.") var seconds = 1.0
    @Option var turns = 5

    func validate() throws {
        guard !issuer.isEmpty, issuer.count == tokens.count else {
            throw ValidationError("name a file of tokens for each issuer")
        }
    }

    func run() async throws {
        let scenes = try zip(issuer, tokens).map { issuer, file in
            (
                try Verifier(issuer: issuer, audience: issuer, staleAfter: .seconds(60), whenStale: .refuse),
                try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init)
            )
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (verifier, _) in scenes { group.addTask { try await verifier.run() } }
            for (verifier, _) in scenes { try await verifier.waitUntilReady(within: .seconds(300)) }
            var rates = scenes.map { _ in [Double]() }
            for _ in 0..<turns {
                for (place, (verifier, tokens)) in scenes.enumerated() {
                    rates[place].append(try await rate(tokens, verifier))
                }
            }
            group.cancelAll()
            for try await _ in group {}
            let medians = rates.map { $0.sorted()[turns / 2] }
            let entries = scenes.map { $0.0.status.revocations }
            print(#"{"per_second":\#(medians),"entries":\#(entries),"turns":\#(rates)}"#)
        }
    }

    /// Verdicts in a second of CPU, as `openssl speed` counts: whoever else is busy takes no part of it.
    private func rate(_ tokens: [String], _ verifier: Verifier) async throws -> Double {
        let began = Measure.cpuSeconds()
        var count = 0
        while Measure.cpuSeconds() - began < seconds {
            for _ in 0..<100 {
                _ = try await verifier.verify(tokens[count % tokens.count])
                count += 1
            }
        }
        return Double(count) / (Measure.cpuSeconds() - began)
    }
}

/// A verifier's start, with the whole list of a living issuer.
struct ColdVerifierCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cold-verifier", abstract: "Starts the library's verifier and tells how long until it can judge.")

    @Option(help: "The issuer's URL.") var issuer: String

    func run() async throws {
        let verifier = try Verifier(issuer: issuer, audience: issuer, staleAfter: .seconds(60), whenStale: .refuse)
        let before = ProcessEnvironment.residentBytes
        let measure = Measure()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await verifier.run() }
            try await verifier.waitUntilReady(within: .seconds(300))
            group.cancelAll()
            measure.print(
                count: verifier.status.revocations,
                [
                    "resident": Double(ProcessEnvironment.residentBytes - before),
                    "held": Double(verifier.heldBytes),
                ])
            for try await _ in group {}
        }
    }
}
