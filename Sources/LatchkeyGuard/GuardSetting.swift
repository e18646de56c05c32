/// A setting of the guard, by its name as an option: `--management-port`, and `LATCHKEY_GUARD_MANAGEMENT_PORT` in the
/// environment. An option goes before the environment; an empty value is none.
package enum GuardSetting: String, CaseIterable, Sendable {
    case issuer, audience
    case host, port
    case managementHost = "management-host"
    case managementPort = "management-port"
    case scope, role
    case staleAfter = "stale-after"
    case whenStale = "when-stale"
    case leeway
    case name
    /// `ID:SECRET`, in the environment alone: `ps` shows arguments.
    case credentials
    case credentialsFile = "credentials-file"
    case upstream
    case upstreamTimeout = "upstream-timeout"
    case authorization
    case bodyLimit = "body-limit"
    case logLevel = "log-level"

    package var option: String { "--\(rawValue)" }

    package var variable: String {
        Self.prefix + rawValue.map { $0 == "-" ? "_" : $0.uppercased() }.joined()
    }

    package static let prefix = "LATCHKEY_GUARD_"
}

/// What is wrong with the settings: a sentence each, with the setting and what is allowed. Holds no secret.
package struct GuardSettingsError: Error, CustomStringConvertible {
    package let problems: [String]

    package var description: String { problems.joined(separator: "; ") }
}

/// Gathers what is given, and every error on the way.
struct GuardSettingsReading {
    let options: [GuardSetting: String]
    let environment: [String: String]
    var problems: [String] = []

    init(options: [GuardSetting: String], environment: [String: String]) {
        self.options = options
        self.environment = environment
        // A misspelt one would leave a door open that its writer thinks shut.
        let known = GuardSetting.allCases.map(\.variable)
        for name in environment.keys.sorted() where name.utf8.starts(with: GuardSetting.prefix.utf8) {
            if !known.contains(where: { $0.utf8.elementsEqual(name.utf8) }) {
                problems.append("\(name) is no setting of the guard")
            }
        }
    }

    func given(_ setting: GuardSetting) -> String? {
        [options[setting], environment[setting.variable]].lazy.compactMap(\.self).first { !$0.isEmpty }
    }

    /// The setting as it was given: by its option, or by its variable.
    private func name(_ setting: GuardSetting) -> String {
        options[setting].map { !$0.isEmpty } == true ? setting.option : setting.variable
    }

    /// - Parameter allowed: what would be right.
    mutating func refuse(_ setting: GuardSetting, _ value: String, allowed: String) {
        problems.append("\(name(setting)) is '\(value)': \(allowed)")
    }

    mutating func required(_ setting: GuardSetting) -> String {
        if let text = given(setting) { return text }
        problems.append("\(setting.option) or \(setting.variable) is missing")
        return ""
    }

    mutating func int(_ setting: GuardSetting, default fallback: Int, in range: ClosedRange<Int>) -> Int {
        guard let text = given(setting) else { return fallback }
        guard let number = Self.digits(text), range.contains(number) else {
            refuse(setting, text, allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)")
            return fallback
        }
        return number
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ setting: GuardSetting, default fallback: Choice
    ) -> Choice {
        guard let text = given(setting) else { return fallback }
        guard let choice = Choice.allCases.first(where: { $0.rawValue.utf8.elementsEqual(text.utf8) }) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            refuse(setting, text, allowed: "one of \(words)")
            return fallback
        }
        return choice
    }

    mutating func words(_ setting: GuardSetting) -> [String] {
        guard let text = given(setting) else { return [] }
        guard let words = Requirement.words(text) else {
            refuse(setting, text, allowed: "visible ASCII without quotation marks and backslashes, a space between two")
            return []
        }
        return words
    }

    /// Digits of ASCII alone: `Int` takes a sign.
    static func digits(_ text: some StringProtocol) -> Int? {
        guard 1...12 ~= text.utf8.count, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
        return Int(text)
    }
}
