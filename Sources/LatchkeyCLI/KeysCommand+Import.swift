import ArgumentParser
import Foundation
import JOSE
import Latchkey
import LibCrypto

extension KeysCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import", abstract: "Takes an existing private key as one more standby; - is standard input.",
            discussion: """
                PEM: PKCS #8, encrypted or not, or the older forms of RSA and EC. It is checked (kind, size, exponent,
                primes, whether its halves belong together) and refused with the reason. It signs once it has stood in the
                JWKS for the publish lead and the standbys before it have had their turn.

                The passphrase of an encrypted one comes from --passphrase-file, else from LATCHKEY_IMPORT_PASSPHRASE.

                Example: latchkey keys import old-key.pem --alg PS256
                """)

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions
        @Option(help: ArgumentHelp("RS256 (the default for RSA), PS256, ES256 or EdDSA.", valueName: "alg"))
        var alg: String?
        @Option(
            help: ArgumentHelp("Its first line is the passphrase; - is standard input.", valueName: "FILE"),
            completion: .file())
        var passphraseFile: String?
        @Argument(help: "The file, or -.", completion: .file(extensions: ["pem", "key"])) var file: String

        func validate() throws {
            if let alg, SignatureAlgorithm(text: alg) == nil {
                throw ValidationError(
                    "--alg is one of \(SignatureAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")).")
            }
            guard file != "-" || passphraseFile != "-" else {
                throw ValidationError("Standard input gives the key or the passphrase, not both.")
            }
        }

        func run() async throws {
            let pem = try Self.read(file)
            let key: PrivateKey
            do throws(PrivateKeyFileError) {
                key = try PrivateKey(
                    pem: pem, passphrase: try passphrase(), algorithm: alg.flatMap { SignatureAlgorithm(text: $0) })
            } catch {
                let advice =
                    error == .needsPassphrase ? " by --passphrase-file or LATCHKEY_IMPORT_PASSPHRASE" : ""
                throw Failure("\(file) is not taken: \(error)\(advice)")
            }
            Self.warnOfReaders(file)
            let outcome = try await installation.withInstallation {
                try await $0.signingKeys.importKey(key, origin: InstallationOptions.origin)
            }
            let (kid, state): (String, SigningKeyState)
            switch outcome {
            case .imported(let new):
                (kid, state) = (new, .published)
            case .unused(let algorithm):
                throw Failure(
                    "nothing signs by \(algorithm.rawValue), so the key would be removed at once: choose it first, by "
                        + "LATCHKEY_SIGNING_ALGORITHM or for a client")
            case .alreadyThere(let known, let algorithm, let its):
                guard algorithm == key.algorithm else {
                    throw Failure("the key is there already as \(known), and signs by \(algorithm.rawValue) for ever")
                }
                (kid, state) = (known, its)
                Output.complain("the key is there already; nothing was changed")
            }
            Output.one(
                ["kid": .string(kid), "alg": .string(key.algorithm.rawValue), "state": .string(state.rawValue)],
                as: output.form)
        }

        private func passphrase() throws(PrivateKeyFileError) -> SecretBytes? {
            if let passphraseFile {
                guard let text = try? Self.read(passphraseFile) else { throw .needsPassphrase }
                return text.withBytes { SecretBytes(Array($0.prefix { $0 != 0x0A && $0 != 0x0D })) }
            }
            return ProcessInfo.processInfo.environment["LATCHKEY_IMPORT_PASSPHRASE"].map { SecretBytes(Array($0.utf8)) }
        }

        /// At most 64 KiB: no key is longer.
        private static func read(_ path: String) throws -> SecretBytes {
            let handle = path == "-" ? FileHandle.standardInput : FileHandle(forReadingAtPath: path)
            guard let data = try handle?.read(upToCount: 65_536), !data.isEmpty else {
                throw Failure("\(path) cannot be read, or is empty")
            }
            return SecretBytes(Array(data))
        }

        private static func warnOfReaders(_ path: String) {
            var status = stat()
            guard path != "-", stat(path, &status) == 0, status.st_mode & 0o077 != 0 else { return }
            Output.complain(
                "warning: others than you may read \(path): chmod 600 it, and if they could have, do not use this key")
        }
    }
}
