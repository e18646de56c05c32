// timespec is found there or in Glibc, by what else the compiler has read in the same batch.
internal import CDispatch
internal import Glibc
internal import JOSE
package import Logging
internal import Synchronization

/// Writes each event as one line of JSON: `time` (RFC 3339), `level`, `message`, `label`, then the metadata, nested
/// dictionaries flattened with dots. Integers, booleans and finite floating-point numbers stay what they are.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let write: @Sendable ([UInt8]) -> Void

    /// - Parameter write: takes one line with its end. Standard error, unless told.
    package init(
        label: String, logLevel: Logger.Level = .info, write: (@Sendable ([UInt8]) -> Void)? = nil
    ) {
        self.label = label
        self.logLevel = logLevel
        self.write = write ?? { StandardError.write($0) }
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var members: [(String, JSONValue?)] = [
            ("time", .string(RFC3339.text(microseconds: Self.now()))),
            ("level", .string(event.level.rawValue)),
            ("message", .string(event.message.description)),
            ("label", .string(label)),
        ]
        // The nearer wins: the statement over the logger over the provider. None may stand in for the four above.
        let merged = (metadataProvider?.get() ?? [:])
            .merging(metadata) { _, nearer in nearer }
            .merging(event.metadata ?? [:]) { _, nearer in nearer }
        for (key, value) in merged.sorted(by: { $0.key < $1.key }) {
            let isTaken = members.prefix(4).contains { $0.0.isSameText(as: key) }
            Self.append(isTaken ? "metadata.\(key)" : key, value, to: &members)
        }
        if let error = event.error { members.append(("error_type", .string(String(describing: type(of: error))))) }
        write(JSONObject(members).encoded() + [UInt8(ascii: "\n")])
    }

    private static func append(_ key: String, _ value: Logger.MetadataValue, to members: inout [(String, JSONValue?)]) {
        if case .dictionary(let dictionary) = value {
            for (inner, value) in dictionary.sorted(by: { $0.key < $1.key }) {
                append("\(key).\(inner)", value, to: &members)
            }
        } else {
            members.append((key, json(value)))
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
        case let value as Bool: .bool(value)
        case let value as any FixedWidthInteger: Int64(exactly: value).map { .integer($0) } ?? .string("\(value)")
        case let value as Double where value.isFinite: .number(value)
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

/// The one writer of standard error: under its lock, whole lines, so that two threads' lines never mix.
private enum StandardError {
    private static let lock = Mutex(())

    static func write(_ line: [UInt8]) {
        lock.withLock { _ in
            var rest = line[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
                if count > 0 {
                    rest = rest.dropFirst(count)
                } else if errno != EINTR {
                    // Nobody reads it, or a pipe that does not block is full: the service goes on without the line.
                    return
                }
            }
        }
    }
}
