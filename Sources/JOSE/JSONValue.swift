/// A JSON value (RFC 8259). Text is equal when its UTF-8 bytes are: Swift's `==` on strings is canonical equivalence.
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    /// A number written without fraction and exponent that fits.
    case integer(Int64)
    /// Any other number, `1.0` and `1e3` among them: who wants an integer gets none from these.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var int: Int64? { if case .integer(let value) = self { value } else { nil } }
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }

    /// The strings of an array that holds nothing else; nil for any other value.
    package var strings: [String]? {
        guard let array else { return nil }
        let strings = array.compactMap(\.string)
        return strings.count == array.count ? strings : nil
    }
}

extension JSONValue: Equatable {
    package static func == (a: JSONValue, b: JSONValue) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.isSameText(as: b)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }
}

/// The members of a JSON object in their order, each name once.
package struct JSONObject: Sendable {
    package struct Member: Sendable, Equatable {
        package let name: String
        package var value: JSONValue

        package static func == (a: Member, b: Member) -> Bool { a.name.isSameText(as: b.name) && a.value == b.value }
    }

    package private(set) var members: [Member]

    /// The object of `members`, those without a value left out; of a name given twice the last value.
    package init(_ members: [(String, JSONValue?)] = []) {
        self.members = []
        for (name, value) in members { if let value { self[name] = value } }
    }

    /// `members` have names that differ: the parser has seen to it.
    init(distinct members: [Member]) { self.members = members }

    /// The value of the member named `name`, byte for byte; nil where there is none.
    package subscript(name: String) -> JSONValue? {
        get { members.first { $0.name.isSameText(as: name) }?.value }
        set {
            let position = members.firstIndex { $0.name.isSameText(as: name) }
            switch (position, newValue) {
            case (let position?, let value?): members[position].value = value
            case (let position?, nil): members.remove(at: position)
            case (nil, let value?): members.append(Member(name: name, value: value))
            case (nil, nil): break
            }
        }
    }
}

extension JSONObject: Equatable {
    /// Whether both hold the same members, in whatever order.
    package static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.members.count == b.members.count && a.members.allSatisfy { b[$0.name] == $0.value }
    }
}

extension String {
    /// Whether both are the same UTF-8 bytes. `==` would hold for "K" and U+212A KELVIN SIGN.
    package func isSameText(as other: String) -> Bool {
        // What is the same is canonically equivalent, too, which of short strings is told without a look at each byte.
        guard utf8.count == other.utf8.count, self == other else { return false }
        let isSame = utf8.withContiguousStorageIfAvailable { bytes in
            other.utf8.withContiguousStorageIfAvailable { bytes.elementsEqual($0) }
        }
        return (isSame ?? nil) ?? utf8.elementsEqual(other.utf8)
    }
}

// Literals, so that a document is written down as it looks.
extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    package init(nilLiteral: ()) { self = .null }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(floatLiteral value: Double) { self = .number(value) }
    package init(stringLiteral value: String) { self = .string(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}
