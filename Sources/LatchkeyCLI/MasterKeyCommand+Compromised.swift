import ArgumentParser
import JOSE
import Latchkey

extension MasterKeyCommand {
    struct Compromised: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "compromised",
            abstract: "A master key has leaked: a new one, every signing key replaced, every session ended.",
            discussion: """
                Without --yes it says what it would do and does nothing. It may be interrupted and run again at any \
                point: it goes on where it was.
                Example: latchkey master-key compromised --reason 'found in an image' --yes
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "Written to the audit log.") var reason: String
        @Flag(help: "Do it.") var yes = false
        @Option(help: ArgumentHelp("How long to wait for nodes that lack the new version.", valueName: "SECONDS"))
        var wait = 120
        @Option(
            help: ArgumentHelp(
                "Where the file goes, for keys that are handed over as credentials or by a file descriptor.",
                valueName: "DIR"))
        var into: String?

        func run() async throws {
            let folder = try into.map { MasterKeyFolder($0) } ?? MasterKeyCommand.folder(installation)
            let steps = try await installation.withInstallation { it in
                let leak = MasterKeyLeak(
                    it.masterKeyRing, resealing: it.resealing, keys: it.signingKeys, compromises: it.compromises,
                    sessions: it.sessions)
                guard yes else {
                    let plan = try await leak.foresee()
                    switch output.form {
                    case .json: Output.one(plan, as: .json)
                    case .table: for effect in plan.object?["effects"]?.strings ?? [] { Output.line(effect) }
                    }
                    throw Failure("nothing was done: say --yes to do it")
                }
                return try await carryOut(leak, in: folder)
            }
            if output.form == .json { Output.rows(steps, columns: [], as: .json) }
        }

        private func carryOut(_ leak: MasterKeyLeak, in folder: MasterKeyFolder) async throws -> [JSONValue] {
            let origin = InstallationOptions.origin
            var steps: [JSONValue] = []
            func tell(_ text: String) {
                steps.append(.string(text))
                if output.form == .table { Output.line(text) }
            }
            let version: Int16
            if let unfinished = try await leak.unfinished(in: folder, origin: origin) {
                version = unfinished
                tell("goes on with master key \(version)")
            } else {
                version = try await leak.begin(in: folder, origin: origin)
                tell("made \(folder.file(version)): bring it to every node")
            }
            let end = ContinuousClock.now + .seconds(wait)
            while true {
                switch try await leak.next(version, reason: reason, origin: origin) {
                case .waits(let nodes):
                    guard ContinuousClock.now < end else {
                        throw Failure(
                            "\(nodes.count) nodes still lack master key \(version): bring \(folder.file(version)) to "
                                + "them or stop them, and run this again")
                    }
                    try await Task.sleep(for: .milliseconds(500))
                case .inUse: tell("every node holds master key \(version): it is in use")
                case .compromised: tell("the versions before \(version) are void")
                case .replaced(let kid): tell("signing key \(kid) is compromised and replaced")
                case .leftNobody(let kid):
                    tell(
                        "signing key \(kid) is compromised; none could be made to follow it: the first that a node makes signs"
                    )
                case .sessionsEnded(let count): tell("\(count) sessions have ended")
                case .resealed(let kid): tell("signing key \(kid) is sealed again")
                case .done:
                    tell("done: delete the old files once `latchkey master-key retire` has let each version go")
                    return steps
                }
            }
        }
    }
}
