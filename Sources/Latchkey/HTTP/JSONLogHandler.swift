// timespec is found there or in Glibc, by what else the compiler has read in the same batch.
internal import CDispatch
internal import Glibc
internal import JOSE
package import Logging

/// Writes each event as one line of JSON: `time` (RFC 3339), `level`, `message`, `label`, then the metadata, nested
/// dictionaries flattened with dots. Integers, booleans and finite floating-point numbers stay what they are.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let write: (@Sendable ([UInt8]) -> Void)?

    /// - Parameter write: takes one line with its end. Standard error, unless told.
    package init(
        label: String, logLevel: Logger.Level = .info, write: (@Sendable ([UInt8]) -> Void)? = nil
    ) {
        self.label = label
        self.logLevel = logLevel
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line: [UInt8] = []
        line.reserveCapacity(384)
        line += #"{"time":"#.utf8
        JSONValue.write(RFC3339.text(microseconds: Self.now()), to: &line)
        line += #","level":"#.utf8
        JSONValue.write(event.level.rawValue, to: &line)
        line += #","message":"#.utf8
        JSONValue.write(event.message.description, to: &line)
        line += #","label":"#.utf8
        JSONValue.write(label, to: &line)

        // The nearer wins: the statement over the logger over the provider. None may stand in for the four above.
        var members = Array(event.metadata ?? [:])
        for farther in [metadata, metadataProvider?.get() ?? [:]] {
            for (key, value) in farther where !members.contains(where: { $0.key == key }) {
                members.append((key, value))
            }
        }
        members.sort { $0.key < $1.key }
        for (key, value) in members {
            let isTaken = Self.reserved.contains { $0.isSameText(as: key) }
            Self.append(isTaken ? "metadata.\(key)" : key, value, to: &line)
        }
        if let error = event.error {
            Self.append("error_type", .string(String(describing: type(of: error))), to: &line)
        }
        line += "}\n".utf8
        if let write { return write(line) }
        LogWriter.standardError.write(line, event.level >= .error ? .now : .soon)
    }

    private static let reserved = ["time", "level", "message", "label"]

    private static func append(_ key: String, _ value: Logger.MetadataValue, to line: inout [UInt8]) {
        if case .dictionary(let dictionary) = value {
            for (inner, value) in dictionary.sorted(by: { $0.key < $1.key }) {
                append("\(key).\(inner)", value, to: &line)
            }
        } else {
            line.append(UInt8(ascii: ","))
            JSONValue.write(key, to: &line)
            line.append(UInt8(ascii: ":"))
            if case .string(let text) = value {
                JSONValue.write(text, to: &line)
            } else {
                line += json(value).encoded()
            }
        }
    }

    private static func json(_ value: Logger.MetadataValue) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value): json(convertible: value)
        case .array(let values): .array(values.map { json($0) })
        case .dictionary(let values):
            .object(JSONObject(values.sorted { $0.key < $1.key }.map { ($0.key, json($0.value)) }))
        }
    }

    private static func json(convertible value: any CustomStringConvertible) -> JSONValue {
        switch value {
        // Before the general case: a cast to a type costs a hundredth of one to a protocol.
        case let value as Int: .integer(Int64(value))
        case let value as Double where value.isFinite: .number(value)
        case let value as Bool: .bool(value)
        case let value as any FixedWidthInteger: Int64(exactly: value).map { .integer($0) } ?? .string("\(value)")
        default: .string(value.description)
        }
    }

    /// Microseconds since 1970, by the wall clock: what other machines' logs go by.
    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
    }
}
