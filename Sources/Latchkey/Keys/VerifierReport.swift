package import HTTPTypes

extension HTTPField.Name {
    /// In which a verifier that fetches the JWKS names itself.
    package static let latchkeyVerifier = HTTPField.Name(known: "latchkey-verifier")
}

/// What a verifier says of itself when it fetches the JWKS: a Dictionary of RFC 8941 §3.2.
///
///     Latchkey-Verifier = "name=" sf-string [ ", kids=" "(" [ sf-string *( SP sf-string ) ] ")" ]
///     Latchkey-Verifier: name="orders/1", kids=("n4bQ…" "Zx1k…")
///
/// Members may come in any order, others are skipped. Whatever else RFC 8941 allows (numbers, parameters, escapes), or is
/// not within the bounds below, makes the whole field count as absent: the fetch is answered all the same.
package struct VerifierReport: Sendable, Equatable {
    /// 1 to 64 of `A-Z a-z 0-9 . _ - / :`. One cache a name: three processes with one name would hide behind the newest.
    package let name: String
    /// The keys that it held before this fetch; nil where it does not say.
    package let kids: [String]?

    /// Four algorithms, each with a signer, two standbys and one that has retired.
    package static let mostKids = 16
    /// Bytes. The longest name and so many thumbprints (43 characters) take 820.
    package static let longestField = 1024

    package init?(_ field: String) {
        guard field.utf8.count <= Self.longestField else { return nil }
        var reader = DictionaryReader(rest: Array(field.utf8)[...])
        var name: String?
        var kids: [String]?
        repeat {
            guard let key = reader.key(), let value = reader.value() else { return nil }
            // A name that comes twice counts as it came last (RFC 8941 §4.2.2).
            switch (key, value) {
            case ("name", .string(let text)):
                guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy(Self.isNameByte) else { return nil }
                name = text
            case ("kids", .strings(let list)):
                guard list.count <= Self.mostKids else { return nil }
                kids = list
            case ("name", _), ("kids", _): return nil
            default: continue
            }
        } while reader.comma()
        guard let name, reader.rest.isEmpty else { return nil }
        (self.name, self.kids) = (name, kids)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "-")...UInt8(ascii: ":"), UInt8(ascii: "_"):
            // From "-" to ":" lie exactly `-./0123456789:`.
            true
        default: false
        }
    }
}

/// The part of RFC 8941 that the field uses: keys, strings without escapes, inner lists of such strings.
private struct DictionaryReader {
    var rest: ArraySlice<UInt8>

    enum Value {
        case string(String)
        case strings([String])
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: byte) else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// `key = ( lcalpha / "*" ) *( lcalpha / DIGIT / "_" / "-" / "." / "*" )`, and the `=` after it.
    mutating func key() -> String? {
        let bytes = rest.prefix { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "*"):
                true
            default: false
            }
        }
        rest = rest.dropFirst(bytes.count)
        guard !bytes.isEmpty, take("=") else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    mutating func value() -> Value? {
        guard take("(") else { return string().map { .string($0) } }
        var list: [String] = []
        spaces()
        while !take(")") {
            guard let text = string() else { return nil }
            list.append(text)
            // Between two strings stands a space.
            guard rest.first == UInt8(ascii: " ") || rest.first == UInt8(ascii: ")") else { return nil }
            spaces()
        }
        return .strings(list)
    }

    private mutating func string() -> String? {
        guard take("\"") else { return nil }
        let bytes = rest.prefix { (0x20...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
        rest = rest.dropFirst(bytes.count)
        return take("\"") ? String(decoding: bytes, as: UTF8.self) : nil
    }

    private mutating func spaces() {
        rest = rest.drop { $0 == UInt8(ascii: " ") }
    }

    /// `OWS "," OWS` between two members.
    mutating func comma() -> Bool {
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
        guard take(",") else { return false }
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
        return true
    }
}
