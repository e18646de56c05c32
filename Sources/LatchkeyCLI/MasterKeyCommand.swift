import ArgumentParser
import Foundation
import JOSE
import Latchkey

struct MasterKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "master-key", abstract: "The master keys: what everything secret in the database is sealed with.",
        discussion: "Example: latchkey master-key list", subcommands: [Initialise.self, List.self])

    /// The folder: DIR's, else LATCHKEY_KEYS_DIR, else `keys`.
    private static func folder(_ options: InstallationOptions) throws -> MasterKeyFolder {
        MasterKeyFolder(SettingsReader.text("keys.dir", in: try options.sources()) ?? "keys")
    }

    struct Initialise: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "init", abstract: "Makes the first master key where there is none.",
            discussion: "Example: LATCHKEY_KEYS_DIR=/etc/latchkey/keys latchkey master-key init")

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            let folder = try MasterKeyCommand.folder(installation)
            guard let version = try folder.initialise() else {
                throw Failure("a master key stands in \(folder.path) already; nothing was changed")
            }
            Output.line("made master key \(version) in \(folder.path): back it up apart from the database")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "The versions that stand in the folder, read and checked.",
            discussion: "Example: latchkey master-key list --json")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let folder = try MasterKeyCommand.folder(installation)
            let keys = try folder.load()
            let rows: [JSONValue] = keys.versions.map { version in
                ["version": .integer(Int64(version)), "current": .bool(version == keys.current)]
            }
            Output.rows(rows, columns: ["version", "current"], as: output.form)
        }
    }
}
