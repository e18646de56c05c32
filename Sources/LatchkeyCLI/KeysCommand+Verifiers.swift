import ArgumentParser
import JOSE
import Latchkey

extension KeysCommand {
    struct Verifiers: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verifiers", abstract: "Who fetches the JWKS and names itself, and which keys each holds.",
            discussion: "Example: latchkey keys verifiers --json")

        @OptionGroup var installation: InstallationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let overview = try await installation.withInstallation { try await $0.keyUse.overview() }
            switch output.form {
            case .json: Output.one(overview.json, as: .json)
            case .table:
                Output.rows(
                    overview.verifiers.map(\.json), columns: ["name", "seen_at", "fetches", "source", "kids"],
                    as: .table)
            }
        }
    }
}

/// A rotation that waits until every verifier that names itself holds the key which will sign.
struct PatientRotation {
    let administration: KeyAdministration
    let from: String?
    let reason: String?
    /// Seconds.
    let timeout: Int

    /// Says on standard error for whom it waits, whenever that changes.
    func run() async throws -> JSONValue {
        let limit = ContinuousClock.now + .seconds(timeout)
        // Named once: where somebody else rotates meanwhile, that was the rotation.
        let from = if let kid = self.from { kid } else { try await administration.signer() }
        var told: [String]?
        while true {
            do {
                return try await administration.rotate(
                    from: from, when: .verifiersAreReady, reason: reason, origin: InstallationOptions.origin)
            } catch Rejection.verifiersNotReady(let kid, let names) {
                guard ContinuousClock.now < limit else {
                    throw Failure(
                        "after \(timeout) s \(Self.list(names)) without the key \(kid): rotate without "
                            + "--wait-for-verifiers, or see why they do not fetch the JWKS (latchkey keys verifiers)")
                }
                if told != names { Output.complain("waiting: \(Self.list(names)) without the key \(kid)") }
                told = names
                // The nodes write what they see every half a minute.
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// "2 verifiers (orders, billing) are", with no more names than fit a line.
    private static func list(_ names: [String]) -> String {
        let shown = names.prefix(5).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
        return names.count == 1 ? "1 verifier (\(shown)) is" : "\(names.count) verifiers (\(shown)) are"
    }
}
