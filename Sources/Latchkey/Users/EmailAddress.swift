internal import Foundation

/// An email address: stored as given, compared in its folded form (NFC, then small letters). It is checked for what
/// would harm us, not for deliverability: only a letter to it can show that.
package struct EmailAddress: Sendable, Equatable, CustomStringConvertible {
    /// As its owner wrote it.
    package let given: String
    /// What is unique and looked up. A function of `given` alone, whatever the locale.
    package let folded: String

    /// RFC 5321 §4.5.3.1.3 leaves 254 bytes for the address within its angle brackets.
    package static let longest = 254

    package init(_ text: String) throws(EmailAddressError) {
        guard text.utf8.count <= Self.longest else { throw .tooLong }
        // Space and control characters would let an address break out of a header line of a letter.
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .spaceSeparator, .lineSeparator, .paragraphSeparator, .unassigned:
                throw .forbiddenCharacter
            default: break
            }
        }
        let sides = text.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard sides.count == 2, sides.allSatisfy({ !$0.isEmpty }) else { throw .notOneAt }
        let folded = text.precomposedStringWithCanonicalMapping.lowercased().precomposedStringWithCanonicalMapping
        guard folded.utf8.count <= Self.longest else { throw .tooLong }
        given = text
        self.folded = folded
    }

    /// Compared as bytes of the folded form: `==` of strings is canonical equivalence, which the database is not.
    package static func == (one: EmailAddress, other: EmailAddress) -> Bool {
        one.folded.utf8.elementsEqual(other.folded.utf8)
    }

    package var description: String { "****" }
}

/// Why a text is no email address. `description` is a sentence for who typed it, without what was typed.
package enum EmailAddressError: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLong
    case forbiddenCharacter
    case notOneAt

    package var description: String {
        switch self {
        case .tooLong: "An email address has at most \(EmailAddress.longest) bytes."
        case .forbiddenCharacter: "An email address has no spaces or control characters."
        case .notOneAt: "An email address is a name, one @ and a domain."
        }
    }
}
