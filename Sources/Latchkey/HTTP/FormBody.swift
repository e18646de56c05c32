package import HTTPTypes
package import Hummingbird

/// The parameters of an `application/x-www-form-urlencoded` body, RFC 6749 App. B, read once and strictly:
///
///     form      = [ pair *( "&" pair ) ]
///     pair      = 1*encoded [ "=" *encoded ]
///     encoded   = "+" / "%" 2HEXDIG / any of %x21-7E but "&" "=" "%" "+" in a name, but "&" "%" "+" in a value
///
/// Names and values are UTF-8 without NUL once decoded. A parameter without a value is omitted, one that comes twice is
/// refused (RFC 6749 §3.2). Time is linear in the length.
package struct FormBody: Sendable {
    /// By the bytes of the name: text comparison would take some other characters for a name's.
    private var values: [[UInt8]: [String]] = [:]

    package static let defaultLimit = 16 * 1024

    /// Reads the whole body.
    ///
    /// - Parameters:
    ///   - limit: in bytes.
    ///   - repeatable: a parameter that may come more than once: `resource` (RFC 8707 §2).
    /// - Throws: `Rejection`, or what reading from the connection throws.
    package init(_ request: Request, limit: Int = defaultLimit, repeatable: String? = nil) async throws {
        try await self.init(request.body, headers: request.headers, limit: limit, repeatable: repeatable)
    }

    /// The same from the parts of a request. A body is read once; see `Request.whileCallerWaits` for watching the caller.
    package init(
        _ body: RequestBody, headers: HTTPFields, limit: Int = defaultLimit, repeatable: String? = nil
    ) async throws {
        try self.init(
            bytes: await RequestBytes.collect(
                body, headers: headers, type: "application/x-www-form-urlencoded", limit: limit),
            repeatable: repeatable)
    }

    package init(bytes: [UInt8], repeatable: String? = nil) throws(Rejection) {
        guard !bytes.isEmpty else { return }
        var seen = Set<[UInt8]>()
        for pair in bytes.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) {
            let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let name = try Self.decoded(pair[..<equals])
            let value = try Self.decoded(pair[equals...].dropFirst())
            guard !name.isEmpty else { throw .invalidRequest(description: "The form has a parameter without a name.") }
            let mayRepeat = repeatable.map { $0.utf8.elementsEqual(name.utf8) } ?? false
            guard seen.insert(Array(name.utf8)).inserted || mayRepeat else {
                throw .invalidRequest(description: "The form has a parameter twice.")
            }
            if !value.isEmpty { values[Array(name.utf8), default: []].append(value) }
        }
    }

    /// The value; nil where it is missing or empty.
    package func optional(_ name: String) -> String? {
        values[Array(name.utf8)]?.first
    }

    /// Every value of a parameter that may come more than once.
    package func all(_ name: String) -> [String] {
        values[Array(name.utf8)] ?? []
    }

    package func required(_ name: String) throws(Rejection) -> String {
        guard let value = optional(name) else { throw .missingField(name) }
        return value
    }

    /// A name or a value as it was before it was encoded; also those that RFC 6749 §2.3.1 puts into HTTP Basic.
    package static func decoded(_ encoded: ArraySlice<UInt8>) throws(Rejection) -> String {
        var bytes = [UInt8]()
        bytes.reserveCapacity(encoded.count)
        var rest = encoded
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"):
                bytes.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                    throw .invalidRequest(description: "The form has a percent sign without two hexadecimal digits.")
                }
                let decoded = high << 4 | low
                guard decoded != 0 else { throw .invalidRequest(description: "The form has a NUL.") }
                bytes.append(decoded)
            case 0x21...0x7E:
                bytes.append(byte)
            default:
                throw .invalidRequest(description: "The form has a character that is not encoded.")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalidRequest(description: "The form is not UTF-8.")
        }
        return text
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
