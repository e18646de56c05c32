import Configuration

/// One of the places that settings come from. Of several the first that holds a setting gives it; one that holds it empty
/// does not hold it.
package struct SettingsSource: Sendable {
    package enum Kind: Sendable, Equatable {
        case flags
        /// What `latchkey dev` has written into its DIR.
        case installation(String)
        case environment
        case file(String)
        case defaults
    }

    let kind: Kind
    private let config: ConfigReader
    /// What is given here, as it is spelt here: keys with their lines in a file, names in the environment.
    let given: [String: Int]
    /// Where systemd has put the credentials of the service.
    private(set) var credentialsDirectory: String?

    private init(_ kind: Kind, _ values: [String: String], given: [String: Int] = [:]) {
        let keyed = values.map { key, value in
            (
                AbsoluteConfigKey(["latchkey"] + key.split(separator: ".").map(String.init)),
                ConfigValue(.string(value), isSecret: true)
            )
        }
        self.init(
            kind, ConfigReader(provider: InMemoryProvider(values: Dictionary(keyed) { first, _ in first })),
            given: given)
    }

    init(_ kind: Kind, _ config: ConfigReader, given: [String: Int] = [:]) {
        self.kind = kind
        self.config = config.scoped(to: "latchkey")
        self.given = given
    }

    /// - Parameter values: by key, such as `database.url`.
    package static func flags(_ values: [String: String]) -> SettingsSource { SettingsSource(.flags, values) }

    package static func installation(_ values: [String: String], in directory: String) -> SettingsSource {
        SettingsSource(.installation(directory), values)
    }

    package static func defaults(_ values: [String: String]) -> SettingsSource { SettingsSource(.defaults, values) }

    package static func environment(_ variables: [String: String]) -> SettingsSource {
        let provider = EnvironmentVariablesProvider(environmentVariables: variables)
        let names = variables.keys.filter { $0.utf8.starts(with: "LATCHKEY_".utf8) }
        var source = SettingsSource(
            .environment, ConfigReader(provider: provider),
            given: Dictionary(uniqueKeysWithValues: names.map { ($0, 0) }))
        source.credentialsDirectory = variables["CREDENTIALS_DIRECTORY"].flatMap { $0.isEmpty ? nil : $0 }
        return source
    }

    package static func file(_ file: ConfigFile) -> SettingsSource {
        SettingsSource(.file(file.path), file.values.mapValues(\.text), given: file.values.mapValues(\.line))
    }

    func text(_ key: ConfigKey) -> String? {
        config.string(forKey: key, isSecret: true).flatMap { $0.isEmpty ? nil : $0 }
    }

    /// How an operator finds the place: a variable's name, a file and a line.
    func place(of key: ConfigKey) -> String {
        switch kind {
        case .flags: "flag"
        case .installation(let directory): "\(directory)/dev.json"
        case .environment: SettingName.inEnvironment(key)
        case .file(let path): "\(path):\(given[SettingName.inFile(key)] ?? 1)"
        case .defaults: "default"
        }
    }
}

/// One name in its spellings: `session.idleTtl` in a file, `LATCHKEY_SESSION_IDLE_TTL` in the environment.
enum SettingName {
    static func inFile(_ key: ConfigKey) -> String { key.components.joined(separator: ".") }

    static func inEnvironment(_ key: ConfigKey) -> String {
        "LATCHKEY_"
            + key.components.joined(separator: "_").reduce(into: "") { text, letter in
                if letter.isUppercase { text += "_" }
                text += letter.uppercased()
            }
    }

    /// The one of `known` that whoever wrote `name` may have meant: the fewest letters away, at most a third of them.
    static func nearest(to name: String, among known: [String]) -> String? {
        known.map { (distance(name.lowercased(), $0.lowercased()), $0) }
            .filter { $0.0 <= max(2, name.count / 3) }
            .min { ($0.0, $0.1) < ($1.0, $1.1) }?.1
    }

    /// Letters to insert, delete or replace (Levenshtein).
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.utf8), Array(b.utf8))
        var row = Array(0...b.count)
        for (i, letter) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in b.enumerated() {
                let replaced = diagonal + (letter == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[b.count]
    }
}

/// One setting as it was found.
package struct SettingRow: Sendable, Equatable {
    /// `LATCHKEY_PORT`.
    package let name: String
    /// `port`.
    package let key: String
    /// nil where it is not set and has no default; `****` where it is secret.
    package var value: String?
    /// A variable's name, a file with its line, `flag`, `default`.
    package let source: String
    package var problem: String?
}

/// All settings with where they came from and what is wrong with them.
package struct SettingsReview: Sendable {
    package let settings: Settings
    package let rows: [SettingRow]
    /// What keeps a node from starting.
    package let problems: [String]
    package let warnings: [String]
}
