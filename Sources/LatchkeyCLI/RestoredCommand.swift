import ArgumentParser
import JOSE
import Latchkey

struct RestoredCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restored",
        abstract: "After a restore from a backup or a snapshot: ends every session and token of the lost history.",
        discussion: """
            A node finds most of that out by itself. What it cannot see is a volume or a data folder that was set back: \
            run this before a node serves again.
            Examples:
              latchkey restored
              latchkey restored --nothing-lost     after pg_upgrade, before the first node starts
            """)

    @OptionGroup var installation: InstallationOptions
    @Flag(help: "The database has another identity and lost no commit: everything stays as it is.")
    var nothingLost = false

    func run() async throws {
        let lines = try await installation.withInstallation { it in
            let origin = InstallationOptions.origin
            guard !nothingLost else {
                try await it.lostHistory.keep(origin: origin)
                return ["kept: the database's present identity is this installation's"]
            }
            let outcome = try await it.lostHistory.begin(origin: origin)
            return ["every session and token from before is void: the fence is \(outcome.fence)"]
                + outcome.kids.map { "signing key \($0) is refused" }
                + outcome.signsNext.map { "signing key \($0) signs" }
                + ["the revocation list begins the epoch \(outcome.epoch.text)"]
        }
        for line in lines { Output.line(line) }
    }
}
