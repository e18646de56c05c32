/// The name a user logs in with: ASCII `a-z 0-9 . _ - @ +`, 1 to 128 bytes. Capitals are folded to small letters
/// here, once, so that the database compares bytes.
package struct Username: Sendable, Hashable, CustomStringConvertible {
    /// The folded form.
    package let text: String

    package static let longest = 128

    package init(_ text: String) throws(UsernameError) {
        var folded = [UInt8]()
        // By bytes: `lowercased()` would fold U+212A (the Kelvin sign) into "k".
        for byte in text.utf8 {
            guard folded.count < Self.longest else { throw .tooLong }
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"):
                folded.append(byte + 32)
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "@"), UInt8(ascii: "+"):
                folded.append(byte)
            default:
                throw .forbiddenCharacter
            }
        }
        guard !folded.isEmpty else { throw .empty }
        self.text = String(decoding: folded, as: UTF8.self)
    }

    package var description: String { text }
}

/// Why a text is no username. `description` is a sentence for who typed it, without what was typed.
package enum UsernameError: Error, Sendable, Equatable, CustomStringConvertible {
    case empty
    case tooLong
    case forbiddenCharacter

    package var description: String {
        switch self {
        case .empty: "A username has at least one character."
        case .tooLong: "A username has at most \(Username.longest) characters."
        case .forbiddenCharacter: "A username consists of the letters a to z, digits and the characters . _ - @ +"
        }
    }
}
