internal import Foundation

/// A password as it goes into the hash: RFC 8265 §4.2, OpaqueString. Non-ASCII spaces become U+0020, then NFC, so that
/// one password typed on two keyboards is one password; case and width stay as they are.
///
/// Refused are control characters and code points that the Unicode version at hand does not assign (their
/// normalisation may change). Contextual rules and ignorable code points are let be: joiners stand in many emoji.
package struct Password: Sendable {
    /// UTF-8, for the hash alone.
    let bytes: [UInt8]

    /// Least length of a new password, in Unicode scalars after normalisation. A count of user-perceived characters
    /// would change with the Unicode version, one of bytes would favour some scripts.
    package static let shortest = 8
    /// Greatest length in bytes of UTF-8, after normalisation.
    package static let longest = 1_024
    /// What is normalised at all: bounds the work for a hostile text.
    private static let longestGiven = 4 * longest

    /// A password that is to be compared with a stored one: no least length but one.
    ///
    /// What it refuses can be nobody's password; saying so tells nothing about the account.
    package init(checking text: String) throws(PasswordError) {
        bytes = try Self.prepared(text, atLeast: 1)
    }

    /// A password that is to be stored.
    package init(setting text: String) throws(PasswordError) {
        bytes = try Self.prepared(text, atLeast: Self.shortest)
    }

    /// The same from bytes of unknown origin (a form, standard input), which must be UTF-8.
    package init(checking utf8: [UInt8]) throws(PasswordError) {
        guard let text = String(validating: utf8, as: UTF8.self) else { throw .notUTF8 }
        try self.init(checking: text)
    }

    /// The same from bytes of unknown origin (a form, standard input), which must be UTF-8.
    package init(setting utf8: [UInt8]) throws(PasswordError) {
        guard let text = String(validating: utf8, as: UTF8.self) else { throw .notUTF8 }
        try self.init(setting: text)
    }

    private static func prepared(_ text: String, atLeast shortest: Int) throws(PasswordError) -> [UInt8] {
        guard text.utf8.count <= longestGiven else { throw .tooLong }
        var mapped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .spaceSeparator: mapped.append(" ")
            case .control: throw .controlCharacter
            case .unassigned: throw .unassignedCharacter
            default: mapped.append(scalar)
            }
        }
        let normalised = String(mapped).precomposedStringWithCanonicalMapping
        guard normalised.utf8.count <= longest else { throw .tooLong }
        guard !normalised.isEmpty else { throw .empty }
        guard normalised.unicodeScalars.count >= shortest else { throw .tooShort }
        return Array(normalised.utf8)
    }
}

extension Password: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "****" }
    package var debugDescription: String { "****" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why a text is no password. `description` is a sentence for who typed it, without what was typed.
package enum PasswordError: Error, Sendable, Equatable, CustomStringConvertible {
    case notUTF8
    case empty
    case tooShort
    case tooLong
    case controlCharacter
    case unassignedCharacter

    package var description: String {
        switch self {
        case .notUTF8: "A password is text in UTF-8."
        case .empty: "A password is not empty."
        case .tooShort: "A password has at least \(Password.shortest) characters."
        case .tooLong: "A password has at most \(Password.longest) bytes."
        case .controlCharacter: "A password has no control characters such as tabs or line ends."
        case .unassignedCharacter: "A password has only characters that Unicode assigns."
        }
    }
}
