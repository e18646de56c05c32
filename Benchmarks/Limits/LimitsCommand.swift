import ArgumentParser

/// The limits that the benchmarks hold Latchkey against: the same work with everything of the service taken away. Each
/// prints one JSON object; `bench.py` runs them in the same minutes as the service.
@main
struct LimitsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits",
        abstract: "What the machine gives for the parts of a request, with the service taken away.",
        subcommands: [
            HelloCommand.self, Argon2Command.self, HashCommand.self, RefreshCommand.self, RevokeCommand.self,
            SessionsCommand.self, SignCommand.self, FeedCommand.self, VerifyCommand.self, ColdVerifierCommand.self,
            EmptySlotsCommand.self,
        ])
}
