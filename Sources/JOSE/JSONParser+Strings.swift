extension JSONParser {
    /// Reads the string that begins here (RFC 8259 §7). Its bytes are valid UTF-8 and hold no NUL.
    mutating func parseString() throws(JSONError) -> String {
        position += 1
        var plainStart = position
        // Most strings hold no escape: they are read where they stand.
        while let byte = current, byte >= 0x20, byte < 0x80, byte != UInt8(ascii: "\\"), byte != UInt8(ascii: "\"") {
            position += 1
        }
        if current == UInt8(ascii: "\"") {
            position += 1
            return String(decoding: bytes[plainStart..<position - 1], as: UTF8.self)
        }
        var text: [UInt8] = []
        while true {
            guard let byte = current else { throw error(.unexpectedEnd) }
            switch byte {
            case UInt8(ascii: "\""):
                text += bytes[plainStart..<position]
                position += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                text += bytes[plainStart..<position]
                text += try parseEscape()
                plainStart = position
            case 0: throw error(.nul)
            case 1..<0x20: throw error(.controlCharacter)
            case 0x20..<0x80: position += 1
            default: try skipMultibyteScalar()
            }
        }
    }

    /// Passes over one scalar of two to four bytes that is well formed by the Unicode Standard, table 3-7: no overlong
    /// forms, no surrogates, nothing beyond U+10FFFF.
    private mutating func skipMultibyteScalar() throws(JSONError) {
        let second: ClosedRange<UInt8>
        let count: Int
        switch bytes[position] {
        case 0xc2...0xdf: (second, count) = (0x80...0xbf, 2)
        case 0xe0: (second, count) = (0xa0...0xbf, 3)
        case 0xed: (second, count) = (0x80...0x9f, 3)
        case 0xe1...0xef: (second, count) = (0x80...0xbf, 3)
        case 0xf0: (second, count) = (0x90...0xbf, 4)
        case 0xf1...0xf3: (second, count) = (0x80...0xbf, 4)
        case 0xf4: (second, count) = (0x80...0x8f, 4)
        default: throw error(.invalidUTF8)
        }
        guard position + count <= bytes.count, second ~= bytes[position + 1],
            bytes[(position + 2)..<(position + count)].allSatisfy({ 0x80...0xbf ~= $0 })
        else { throw error(.invalidUTF8) }
        position += count
    }

    /// Reads an escape sequence and returns what it stands for in UTF-8.
    private mutating func parseEscape() throws(JSONError) -> [UInt8] {
        let start = position
        position += 1
        guard let kind = current else { throw error(.unexpectedEnd) }
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [kind]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return try parseUnicodeEscape(from: start)
        default: throw JSONError(reason: .invalidEscape, offset: start)
        }
    }

    private mutating func parseUnicodeEscape(from start: Int) throws(JSONError) -> [UInt8] {
        let first = try parseHexadecimal(from: start)
        let code: UInt32
        switch first {
        case 0: throw JSONError(reason: .nul, offset: start)
        case 0xd800...0xdbff:
            guard bytes[position...].starts(with: "\\u".utf8) else {
                throw JSONError(reason: .loneSurrogate, offset: start)
            }
            let low = position
            position += 2
            let second = try parseHexadecimal(from: low)
            guard 0xdc00...0xdfff ~= second else { throw JSONError(reason: .loneSurrogate, offset: start) }
            code = 0x10000 + (first - 0xd800) << 10 + (second - 0xdc00)
        default: code = first
        }
        // What is left without a scalar is a low surrogate on its own.
        guard let scalar = Unicode.Scalar(code) else { throw JSONError(reason: .loneSurrogate, offset: start) }
        return Array(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    }

    private mutating func parseHexadecimal(from start: Int) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current else { throw error(.unexpectedEnd) }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw JSONError(reason: .invalidEscape, offset: start)
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
