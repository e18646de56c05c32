import JOSE
import Testing

/// Every command of the binary, as the binary itself tells it.
struct CommandTree: Sendable {
    struct Command: Sendable, CustomTestStringConvertible {
        /// After `latchkey`: `["users", "list"]`.
        let path: [String]
        let subcommands: [String]
        /// The names of its options that take a value, and of its positional arguments.
        let values: [String]
        let flags: [String]

        var testDescription: String { (["latchkey"] + path).joined(separator: " ") }
    }

    let commands: [Command]

    static func read() async throws -> CommandTree {
        let transcript = try await LatchkeyBinary.run(["--experimental-dump-help"])
        let root = try JSONValue.parse(Array(transcript.output.utf8)).object?["command"]?.object
        var commands: [Command] = []
        try collect(try #require(root), path: [], into: &commands)
        return CommandTree(commands: commands)
    }

    private static func collect(_ object: JSONObject, path: [String], into commands: inout [Command]) throws {
        let arguments = (object["arguments"]?.array ?? []).compactMap(\.object)
        func names(_ isWanted: (String?) -> Bool) -> [String] {
            arguments.filter { isWanted($0["kind"]?.string) }.compactMap {
                $0["preferredName"]?.object?["name"]?.string ?? $0["valueName"]?.string
            }
        }
        // The parser's own `help` is no command of ours.
        let subcommands = (object["subcommands"]?.array ?? []).compactMap(\.object).filter {
            $0["commandName"]?.string != "help"
        }
        commands.append(
            Command(
                path: path, subcommands: subcommands.compactMap { $0["commandName"]?.string },
                values: names { $0 != "flag" }, flags: names { $0 == "flag" }))
        for subcommand in subcommands {
            try collect(
                subcommand, path: path + [try #require(subcommand["commandName"]?.string)], into: &commands)
        }
    }
}
