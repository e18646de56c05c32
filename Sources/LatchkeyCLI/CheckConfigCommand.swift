import ArgumentParser
import JOSE
import Latchkey

/// Every setting, where it came from, what is wrong with it. Connects to nothing: that is `latchkey doctor`'s work.
struct CheckConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-config", abstract: "Every setting, where its value came from, and what is wrong with it.",
        discussion: "Example: latchkey check-config --config /etc/latchkey/latchkey.yaml")

    @OptionGroup var installation: InstallationOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let review = SettingsReader.review(
            try installation.sources(), profile: try installation.directory() == nil ? .serve : .dev)
        let warnings = review.warnings + (try installation.configuration.file()?.warnings ?? [])
        let rows = review.rows.map(\.json)
        switch output.form {
        case .json:
            Output.one(
                [
                    "settings": .array(rows), "problems": .array(review.problems.map { .string($0) }),
                    "warnings": .array(warnings.map { .string($0) }),
                ], as: .json)
        case .table:
            Output.rows(rows, columns: ["setting", "value", "source"], as: .table)
            for problem in review.problems { Output.line("wrong: \(problem)") }
            for warning in warnings { Output.line("warning: \(warning)") }
        }
        guard review.problems.isEmpty else {
            throw Failure("\(review.problems.count) settings are wrong: mend what `wrong:` names")
        }
    }
}

extension SettingRow {
    fileprivate var json: JSONValue {
        .object(
            JSONObject([
                ("setting", .string(name)), ("key", .string(key)), ("value", value.map { .string($0) }),
                ("source", .string(source)), ("problem", problem.map { .string($0) }),
            ]))
    }
}
