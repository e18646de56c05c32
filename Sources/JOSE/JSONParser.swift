extension JSONValue {
    /// Reads one JSON text (RFC 8259) in UTF-8, strictly: what two parsers could understand differently is refused, so
    /// that no proxy, log or database sees another document than we do. Time is linear in the length of the text.
    ///
    /// - Throws: `JSONError` with the place: names given twice (compared after unescaping), NUL raw or escaped, a byte
    ///   order mark, UTF-16, invalid UTF-8, lone surrogates, raw control characters, trailing commas, leading zeros,
    ///   integers beyond `Int64`, numbers beyond `Double` or longer than 128 bytes, arrays and objects nested deeper
    ///   than `maximumDepth`, anything after the value.
    package static func parse(_ bytes: [UInt8], maximumDepth: Int = 32) throws(JSONError) -> JSONValue {
        var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
        return try parser.parseDocument()
    }
}

/// A cursor over the bytes of one JSON text.
struct JSONParser {
    let bytes: [UInt8]
    let maximumDepth: Int
    var position = 0

    init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    mutating func parseDocument() throws(JSONError) -> JSONValue {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { throw error(.byteOrderMark) }
        if bytes.starts(with: [0xfe, 0xff]) || bytes.starts(with: [0xff, 0xfe]) { throw error(.utf16) }
        skipSpace()
        let value = try parseValue(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw error(current == 0 ? .nul : .trailingBytes) }
        return value
    }

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    func error(_ reason: JSONError.Reason) -> JSONError { JSONError(reason: reason, offset: position) }

    /// What is wrong with the byte that stands here.
    private var unexpected: JSONError {
        switch current {
        case nil: error(.unexpectedEnd)
        case 0: error(.nul)
        case let byte?: error(byte < 0x80 ? .unexpectedByte : .invalidUTF8)
        }
    }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    private mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard current == byte else { throw unexpected }
        position += 1
    }

    private mutating func parseValue(depth: Int) throws(JSONError) -> JSONValue {
        switch current {
        case UInt8(ascii: "{"): return .object(try parseObject(depth: depth + 1))
        case UInt8(ascii: "["): return .array(try parseArray(depth: depth + 1))
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): return try parseNumber()
        default: throw unexpected
        }
    }

    private mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        for offset in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[offset]) }
        return value
    }

    private mutating func parseArray(depth: Int) throws(JSONError) -> [JSONValue] {
        // Bounded, so that a body of opening brackets cannot exhaust the stack.
        guard depth <= maximumDepth else { throw error(.tooDeep) }
        position += 1
        var values: [JSONValue] = []
        skipSpace()
        if current == UInt8(ascii: "]") {
            position += 1
            return values
        }
        while true {
            skipSpace()
            values.append(try parseValue(depth: depth))
            skipSpace()
            if current == UInt8(ascii: "]") { break }
            try expectComma(before: UInt8(ascii: "]"))
        }
        position += 1
        return values
    }

    private mutating func parseObject(depth: Int) throws(JSONError) -> JSONObject {
        guard depth <= maximumDepth else { throw error(.tooDeep) }
        position += 1
        var members: [JSONObject.Member] = []
        var seen = SeenNames()
        skipSpace()
        if current == UInt8(ascii: "}") {
            position += 1
            return JSONObject(distinct: members)
        }
        // An access token has up to twelve: they are found room for once.
        members.reserveCapacity(12)
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw unexpected }
            let start = position
            let name = try parseString()
            guard seen.insert(name, among: members) else { throw JSONError(reason: .duplicateName, offset: start) }
            skipSpace()
            try expect(UInt8(ascii: ":"))
            skipSpace()
            members.append(JSONObject.Member(name: name, value: try parseValue(depth: depth)))
            skipSpace()
            if current == UInt8(ascii: "}") { break }
            try expectComma(before: UInt8(ascii: "}"))
        }
        position += 1
        return JSONObject(distinct: members)
    }

    private mutating func expectComma(before end: UInt8) throws(JSONError) {
        let comma = position
        try expect(UInt8(ascii: ","))
        skipSpace()
        if current == end { throw JSONError(reason: .trailingComma, offset: comma) }
    }

    /// RFC 8259 §6: `[ "-" ] int [ frac ] [ exp ]`.
    private mutating func parseNumber() throws(JSONError) -> JSONValue {
        let start = position
        var isInteger = true
        if current == UInt8(ascii: "-") { position += 1 }
        let leadingZero = current == UInt8(ascii: "0")
        let digits = try parseDigits()
        if leadingZero && digits > 1 { throw JSONError(reason: .invalidNumber, offset: start) }
        if current == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            _ = try parseDigits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
            _ = try parseDigits()
        }
        let overflow = JSONError(reason: .numberOverflow, offset: start)
        // The conversion of a number of a million digits takes more than linear time.
        guard position - start <= 128 else { throw overflow }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger {
            guard let value = Int64(text) else { throw overflow }
            return .integer(value)
        }
        guard let value = Double(text), value.isFinite else { throw overflow }
        return .number(value)
    }

    private func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

    private mutating func parseDigits() throws(JSONError) -> Int {
        let start = position
        while let byte = current, isDigit(byte) { position += 1 }
        guard position > start else { throw current == nil ? error(.unexpectedEnd) : error(.invalidNumber) }
        return position - start
    }
}

/// The names of the object being read. Few are compared one by one; many are hashed, because comparing each with all
/// others would let a body of 100,000 names take minutes.
private struct SeenNames {
    /// An access token has up to twelve.
    private static let fewNames = 16
    private var hashed: Set<[UInt8]> = []

    /// Whether `name` is new.
    mutating func insert(_ name: String, among members: [JSONObject.Member]) -> Bool {
        if members.count < Self.fewNames { return !members.contains { $0.name.isSameText(as: name) } }
        if hashed.isEmpty { hashed = Set(members.map { Array($0.name.utf8) }) }
        return hashed.insert(Array(name.utf8)).inserted
    }
}
