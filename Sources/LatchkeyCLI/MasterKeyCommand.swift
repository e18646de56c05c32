import ArgumentParser
import JOSE
import Latchkey
import Postgres

struct MasterKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "master-key", abstract: "The master keys: what everything secret in the database is sealed with.",
        discussion: "Example: latchkey master-key list",
        subcommands: [
            Initialise.self, List.self, Rotate.self, Reseal.self, Retire.self, Compromised.self,
        ])

    /// The folder: DIR's, else LATCHKEY_KEYS_DIR, else systemd's credentials, else `keys`.
    static func folder(_ options: InstallationOptions) throws -> MasterKeyFolder {
        MasterKeyFolder(SettingsReader.keysDirectory(in: try options.sources()))
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
            commandName: "list", abstract: "Every version, how it stands, what names it, and which nodes lack it.",
            discussion: """
                Where no database is set, the versions that stand in the folder, read and checked.
                Example: latchkey master-key list --json
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            guard SettingsReader.text("database.url", in: try installation.sources()) != nil else {
                return try listFolder()
            }
            let rows = try await installation.withInstallation { try await $0.masterKeyAdministration.list() }
            Output.rows(
                rows,
                columns: [
                    "version", "state", "held", "signing_keys", "sessions", "client_secrets", "passwords", "lacking",
                ], as: output.form)
        }

        private func listFolder() throws {
            let keys = try MasterKeyCommand.folder(installation).load()
            let rows: [JSONValue] = keys.versions.map { version in
                ["version": .integer(Int64(version)), "current": .bool(version == keys.current)]
            }
            Output.rows(rows, columns: ["version", "current"], as: output.form)
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate",
            abstract: "Makes the next version; it is used once every node holds it.",
            discussion: """
                Bring the file that it writes to every node: nodes look into their folder every second. Signing keys are \
                then sealed again by themselves; `master-key retire` says when the old version may go.
                Example: latchkey master-key rotate
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        @Option(
            help: ArgumentHelp(
                "Where the file goes, for keys that are handed over as credentials or by a file descriptor.",
                valueName: "DIR"))
        var into: String?

        func run() async throws {
            let folder = try into.map { MasterKeyFolder($0) } ?? MasterKeyCommand.folder(installation)
            let (version, lacking) = try await installation.withInstallation { installation in
                let version = try await installation.masterKeyRing.makeNext(
                    .use, in: folder, origin: InstallationOptions.origin)
                return (version, try await installation.masterKeyRing.nodesLacking(version))
            }
            Output.one(
                [
                    "version": .integer(Int64(version)), "file": .string(folder.file(version)),
                    "lacking": .array(lacking.map { .string($0.text) }),
                ], as: output.form)
            Output.complain("bring \(folder.file(version)) to every node, and back it up apart from the database")
        }
    }

    struct Reseal: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reseal", abstract: "Seals the signing keys again under the version in use, without a node.",
            discussion: """
                Nodes do it by themselves. It may be interrupted and run again at any point.
                Example: latchkey master-key reseal
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let rows = try await installation.withInstallation { installation in
                var rows: [JSONValue] = []
                while true {
                    let keys = try await installation.signingKeys.all().keys
                    switch try await installation.resealing.one(of: keys, origin: InstallationOptions.origin) {
                    case .resealed(let kid, let from, let to):
                        rows.append([
                            "kid": .string(kid), "from": .integer(Int64(from)), "to": .integer(Int64(to)),
                        ])
                    case .changedMeanwhile: continue
                    case .done(let unopened):
                        if let (kid, fault) = unopened.min(by: { $0.key < $1.key }) {
                            throw SigningKeyError.doesNotOpen(kid: kid, fault)
                        }
                        return rows
                    }
                }
            }
            Output.rows(rows, columns: ["kid", "from", "to"], as: output.form)
        }
    }

    struct Retire: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "retire", abstract: "Lets every node forget a version, once nothing names it any more.",
            discussion: """
                Says what still names it. Delete its file on every node afterwards.
                Example: latchkey master-key retire 1
                """)

        @OptionGroup var installation: InstallationOptions
        @Argument(help: ArgumentHelp("The version.", valueName: "VERSION")) var version: Int16
        @Flag(help: "Even where sessions or client secrets rest on it: their owners log in again, or rotate.")
        var force = false

        func run() async throws {
            let file = try MasterKeyCommand.folder(installation).file(version)
            try await installation.withInstallation { installation in
                try await installation.masterKeyAdministration.retire(
                    version, force ? .yes : .no, origin: InstallationOptions.origin)
            }
            Output.line("retired master key \(version): delete \(file) on every node")
        }
    }
}

extension Installation {
    fileprivate var masterKeyAdministration: MasterKeyAdministration {
        MasterKeyAdministration(masterKeyRing, keys: signingKeys, clients: clients, users: users, sessions: sessions)
    }
}
