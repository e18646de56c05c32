import Foundation
import JOSE

/// Standard output, line by line: unbuffered, so that who reads a pipe sees a line when it is printed.
enum Output {
    static func line(_ text: String) {
        FileHandle.standardOutput.write(Data((text + "\n").utf8))
    }

    static func complain(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    enum Form { case table, json }

    /// The rows as a table with `columns`, or as a JSON array.
    static func rows(_ rows: [JSONValue], columns: [String], as form: Form) {
        switch form {
        case .json:
            line(String(decoding: JSONValue.array(rows).encoded(), as: UTF8.self))
        case .table:
            let cells = [columns.map { $0.uppercased() }] + rows.map { row in columns.map { cell(row.object?[$0]) } }
            let widths = columns.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
            for row in cells {
                let padded = zip(row, widths).map { text, width in
                    text + String(repeating: " ", count: width - text.count)
                }
                line(String(padded.joined(separator: "  ").reversed().drop { $0 == " " }.reversed()))
            }
        }
    }

    /// One thing: its members line by line, or as a JSON object.
    static func one(_ value: JSONValue, as form: Form) {
        switch form {
        case .json: line(String(decoding: value.encoded(), as: UTF8.self))
        case .table:
            for member in value.object?.members ?? [] { line("\(member.name): \(cell(member.value))") }
        }
    }

    private static func cell(_ value: JSONValue?) -> String {
        switch value {
        case nil, .null: "-"
        case .string(let text): printable(text)
        case .array(let values): values.isEmpty ? "-" : values.map { cell($0) }.joined(separator: " ")
        case .some(let value): String(decoding: value.encoded(), as: UTF8.self)
        }
    }

    /// Text of others does not steer the terminal.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }
}
