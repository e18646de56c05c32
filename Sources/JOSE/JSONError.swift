/// Why bytes are not the JSON that Latchkey reads, and where. Holds nothing of the text: safe to log and to answer with.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    package enum Reason: String, Sendable {
        case unexpectedEnd = "unexpected end of the text"
        case unexpectedByte = "unexpected character"
        case trailingBytes = "something follows the value"
        case byteOrderMark = "byte order mark"
        case utf16 = "UTF-16 in place of UTF-8"
        case invalidUTF8 = "invalid UTF-8"
        case nul = "NUL"
        case controlCharacter = "unescaped control character in a string"
        case invalidEscape = "invalid escape sequence"
        case loneSurrogate = "half a surrogate pair"
        case duplicateName = "member name given twice"
        case trailingComma = "trailing comma"
        case invalidNumber = "invalid number"
        case numberOverflow = "number out of range"
        case tooDeep = "nested too deep"
    }

    package let reason: Reason
    /// The byte, counted from 0, at which the fault begins.
    package let offset: Int

    package init(reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    package var description: String { "\(reason.rawValue) at byte \(offset)" }
}
