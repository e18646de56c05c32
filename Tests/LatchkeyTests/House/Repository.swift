import Foundation
import Testing

/// The repository that these tests were built from.
enum Repository {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func names(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path).sorted()
    }

    struct Source: Sendable {
        /// The folder in `Sources/Latchkey`; empty for its root.
        let folder: String
        let name: String
        let text: String
    }

    /// Every Swift file of the server, in its feature folders.
    static func serverSources() throws -> [Source] {
        var sources: [Source] = []
        for entry in try names(in: "Sources/Latchkey") {
            if entry.hasSuffix(".swift") {
                sources.append(Source(folder: "", name: entry, text: try text("Sources/Latchkey/\(entry)")))
            } else if entry != "migrations", !entry.contains(".") {
                for name in try names(in: "Sources/Latchkey/\(entry)") where name.hasSuffix(".swift") {
                    sources.append(
                        Source(folder: entry, name: name, text: try text("Sources/Latchkey/\(entry)/\(name)")))
                }
            }
        }
        try #require(sources.count > 50)
        return sources
    }
}

/// What `openapi.yaml` says of operations, read by its indentation: paths stand two spaces in, methods four.
struct OpenAPIDocument {
    struct Operation: Sendable, Hashable, CustomStringConvertible {
        let method: String
        let path: String

        var description: String { "\(method) \(path)" }
    }

    /// With the scopes of a bearer; nil: open to everybody.
    private(set) var operations: [Operation: [String]?] = [:]
    /// The words of the schema `ProblemCode`.
    private(set) var problemCodes: [String] = []

    init() throws {
        var path = ""
        var operation: Operation?
        var (isInPaths, isInCodes) = (false, false)
        for line in try Repository.text("openapi.yaml").split(separator: "\n") {
            let indent = line.prefix { $0 == " " }.count
            let word = line.dropFirst(indent)
            if indent == 0 { isInPaths = word == "paths:" }
            if indent == 4, !isInPaths { isInCodes = word == "ProblemCode:" }
            if isInCodes, indent == 8, word.hasPrefix("- ") { problemCodes.append(String(word.dropFirst(2))) }
            guard isInPaths else { continue }
            if indent == 2, word.hasPrefix("/") { path = String(word.dropLast()) }
            if indent == 4 {
                let method = word.dropLast()
                operation = nil
                if ["get", "post", "put", "delete", "patch", "options", "head", "trace"].contains(method) {
                    let found = Operation(method: method.uppercased(), path: path)
                    operations.updateValue(nil, forKey: found)
                    operation = found
                }
            }
            if indent == 8, let operation, word.hasPrefix("- bearer: [") {
                let list = word.dropFirst("- bearer: [".count).dropLast()
                operations[operation] = .some(
                    list.split(separator: ", ").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: "'")) })
            }
        }
        try #require(operations.count > 20)
        try #require(problemCodes.count > 10)
    }
}
