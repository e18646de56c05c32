package import Foundation
import Yams

/// A configuration file: YAML whose keys, joined by dots, are those of the settings (`accessToken.ttl`). Every value
/// keeps its line, so that what is wrong with it can be told where it stands.
package struct ConfigFile: Sendable {
    package struct Value: Sendable, Equatable {
        package let text: String
        package let line: Int
    }

    package let path: String
    /// By key, such as `session.idleTtl`. A list is its members joined by commas, a null is empty.
    package let values: [String: Value]
    /// What does not keep anybody from using it.
    package let warnings: [String]

    /// - Throws: `ConfigFileError`, which never quotes a value.
    package init(path: String) throws(ConfigFileError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .missing(path) }
        guard status.st_mode & S_IFMT == S_IFREG, let data = FileManager.default.contents(atPath: path) else {
            throw .unreadable(path)
        }
        try self.init(path: path, data: data, mode: status.st_mode)
    }

    /// - Parameter mode: the file's permissions.
    package init(path: String, data: Data, mode: mode_t) throws(ConfigFileError) {
        guard let text = String(validating: data, as: UTF8.self) else {
            throw .malformed(path, line: 1, problem: "it is not UTF-8")
        }
        var values: [String: Value] = [:]
        if let root = try Self.parse(text, path: path) { try Self.collect(root, "", path: path, into: &values) }
        self.path = path
        self.values = values
        let isSecret = values["database.url"].map { Self.holdsPassword($0.text) } ?? false
        warnings =
            isSecret && mode & 0o004 != 0
            ? ["everybody on this machine may read \(path), which holds the database's password: chmod 640 it"] : []
    }

    private static func parse(_ text: String, path: String) throws(ConfigFileError) -> Yams.Node? {
        do {
            return try Parser(yaml: text).singleRoot()
        } catch {
            throw .malformed(path, line: Self.line(of: error, in: text), problem: Self.problem(of: error))
        }
    }

    private static func collect(
        _ node: Yams.Node, _ prefix: String, path: String, into values: inout [String: Value]
    ) throws(ConfigFileError) {
        let line = node.mark?.line ?? 1
        switch node {
        case .mapping(let mapping):
            for (name, member) in mapping {
                guard let name = name.string, !name.isEmpty else {
                    throw .malformed(path, line: name.mark?.line ?? line, problem: "a key is not a text")
                }
                try collect(member, prefix.isEmpty ? name : "\(prefix).\(name)", path: path, into: &values)
            }
        case .scalar(let scalar):
            try set(scalar.tag == Tag(.null) ? "" : scalar.string)
        case .sequence(let sequence):
            var members: [String] = []
            for member in sequence {
                guard let scalar = member.scalar else {
                    throw .malformed(path, line: member.mark?.line ?? line, problem: "a list holds more than texts")
                }
                members.append(scalar.string)
            }
            try set(members.joined(separator: ","))
        case .alias:
            throw .malformed(path, line: line, problem: "an alias names nothing")
        }

        func set(_ text: String) throws(ConfigFileError) {
            guard !prefix.isEmpty else {
                throw .malformed(path, line: line, problem: "it is not a mapping of settings, such as `port: 8080`")
            }
            if let first = values[prefix] {
                throw .malformed(path, line: line, problem: "\(prefix) stands in line \(first.line) already")
            }
            values[prefix] = Value(text: text, line: line)
        }
    }

    private static func line(of error: any Error, in text: String) -> Int {
        switch error as? YamlError {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        case .duplicatedKeysInMapping(_, let context): context.mark.line
        case .reader(_, let offset, _, _):
            1 + text.unicodeScalars.prefix(offset ?? 0).count { $0 == "\n" }
        default: 1
        }
    }

    /// The parser's own words; they quote nothing of the file but keys.
    private static func problem(of error: any Error) -> String {
        switch error as? YamlError {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _),
            .reader(let problem, _, _, _):
            problem
        case .duplicatedKeysInMapping(let keys, _): "\(keys.joined(separator: ", ")) stands there twice"
        default: "it is no YAML"
        }
    }

    /// Of a connection string, as a URI or as `keyword=value`.
    private static func holdsPassword(_ text: String) -> Bool {
        text.contains(/password\s*=/) || text.contains(/:\/\/[^\/@:]*:[^@\/]+@/)
    }
}

/// Each says what to do next.
package enum ConfigFileError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing(String)
    case unreadable(String)
    case malformed(String, line: Int, problem: String)

    package var description: String {
        switch self {
        case .missing(let path): "there is no configuration file \(path): name another with --config"
        case .unreadable(let path): "\(path) cannot be read as a regular file: let this user read it"
        case .malformed(let path, let line, let problem): "\(path), line \(line): \(problem)"
        }
    }
}
