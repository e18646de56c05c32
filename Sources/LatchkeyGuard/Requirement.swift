internal import HTTPTypes

/// What a token must carry beside being good: every one of these scopes and roles.
///
/// A requirement can only be added to. What the guard was started with holds for every request; a proxy adds what a
/// location needs by the query of the check or by a field. A caller who gets a field of that name through his proxy
/// makes it harder for himself and for nobody else, so that it does not matter who may set it.
package struct Requirement: Sendable {
    package private(set) var scopes: [String]
    package private(set) var roles: [String]

    package init(scopes: [String] = [], roles: [String] = []) {
        self.scopes = scopes
        self.roles = roles
    }

    /// A requirement that was not understood. A misspelt one that asks for nothing would open what it was to close, so it
    /// is a fault of whoever configured the proxy, and nothing is admitted.
    enum Fault: String, Error {
        case parameter = "the query of /check holds something else than scope= and role="
        case field = "there are fields X-Guard-Scope and X-Guard-Role, and no other of that kind"
        case value = "a scope or a role is empty, or holds what none does"
    }

    private static let fieldPrefix = "x-guard-"

    /// With what the fields `X-Guard-Scope` and `X-Guard-Role` add: words with a space between two.
    func adding(_ fields: HTTPFields) throws(Fault) -> Requirement {
        var sum = self
        for field in fields where field.name.canonicalName.utf8.starts(with: Self.fieldPrefix.utf8) {
            switch field.name.canonicalName {
            case "x-guard-scope": try sum.add(field.value, to: \.scopes)
            case "x-guard-role": try sum.add(field.value, to: \.roles)
            default: throw .field
            }
        }
        return sum
    }

    /// With what a query adds: `scope=…` and `role=…`, as often as there are some.
    /// - Parameter query: without the question mark, as it came.
    func adding(query: some StringProtocol) throws(Fault) -> Requirement {
        var sum = self
        for pair in query.utf8.split(separator: UInt8(ascii: "&")) {
            let name = pair.prefix { $0 != UInt8(ascii: "=") }
            guard name.endIndex < pair.endIndex, let value = Self.decoded(pair[name.endIndex...].dropFirst()) else {
                throw .parameter
            }
            if name.elementsEqual("scope".utf8) {
                try sum.add(value, to: \.scopes)
            } else if name.elementsEqual("role".utf8) {
                try sum.add(value, to: \.roles)
            } else {
                throw .parameter
            }
        }
        return sum
    }

    private mutating func add(_ text: String, to list: WritableKeyPath<Requirement, [String]>) throws(Fault) {
        guard let words = Self.words(text) else { throw .value }
        self[keyPath: list] += words
    }

    /// At least one word of visible ASCII without `"` and `\` (RFC 6749 §3.3), a space between two; nil for anything else.
    static func words(_ text: String) -> [String]? {
        let words = text.utf8.split(separator: 0x20)
        guard !words.isEmpty,
            words.joined().allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") })
        else { return nil }
        return words.map { String(decoding: $0, as: UTF8.self) }
    }

    /// Percent-decoded, `+` as a space.
    private static func decoded(_ text: some Sequence<UInt8>) -> String? {
        var decoded: [UInt8] = []
        var rest = Array(text)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): decoded.append(0x20)
            case UInt8(ascii: "%"):
                let digits = rest.prefix(2)
                guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                    let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
                else { return nil }
                decoded.append(value)
                rest = rest.dropFirst(2)
            default: decoded.append(byte)
            }
        }
        return String(validating: decoded, as: UTF8.self)
    }
}
