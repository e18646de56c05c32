// JOSE: strict base64url and JSON, JWK, JWS and the claims of access tokens. Pure: no I/O, no clock; `now` is an
// argument where it matters. What is refused here is refused by every part of Latchkey.

/// base64url without padding (RFC 4648 §5, RFC 7515 §2), with one spelling for every value.
package enum Base64URL {
    /// The text of `bytes` as a string.
    package static func encode(_ bytes: [UInt8]) -> String {
        String(decoding: encodedBytes(bytes), as: UTF8.self)
    }

    /// The text of `bytes` as ASCII.
    package static func encodedBytes(_ bytes: [UInt8]) -> [UInt8] {
        let count = (bytes.count * 4 + 2) / 3
        return [UInt8](unsafeUninitializedCapacity: count) { output, initialized in
            var position = 0
            var buffer: UInt32 = 0
            var bits = 0
            for byte in bytes {
                buffer = buffer << 8 | UInt32(byte)
                bits += 8
                while bits >= 6 {
                    bits -= 6
                    output[position] = symbol(UInt8(buffer >> UInt32(bits) & 63))
                    position += 1
                }
            }
            if bits > 0 {
                output[position] = symbol(UInt8(buffer << UInt32(6 - bits) & 63))
                position += 1
            }
            initialized = position
        }
    }

    /// The bytes that `text` stands for; nil where it holds padding, white space or any other symbol, has an impossible
    /// length, or leaves bits set in its tail: RFC 4648 §3.5 allows decoders to accept those, and then a token would
    /// have several spellings.
    package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        let contiguous = text.withContiguousStorageIfAvailable { decode($0) }
        return contiguous ?? Array(text).withUnsafeBufferPointer { decode($0) }
    }

    private static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard text.count % 4 != 1 else { return nil }
        var isValid = true
        let bytes = [UInt8](unsafeUninitializedCapacity: text.count * 3 / 4) { output, initialized in
            var position = 0
            var buffer: UInt32 = 0
            var bits = 0
            for symbol in text {
                guard let value = value(symbol) else {
                    isValid = false
                    break
                }
                buffer = buffer << 6 | UInt32(value)
                bits += 6
                if bits >= 8 {
                    bits -= 8
                    output[position] = UInt8(truncatingIfNeeded: buffer >> UInt32(bits))
                    position += 1
                }
            }
            if buffer & (1 << UInt32(bits) - 1) != 0 { isValid = false }
            initialized = position
        }
        return isValid ? bytes : nil
    }

    private static func symbol(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        case 62: UInt8(ascii: "-")
        default: UInt8(ascii: "_")
        }
    }

    private static func value(_ symbol: UInt8) -> UInt8? {
        switch symbol {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): symbol - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): symbol - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): symbol - UInt8(ascii: "0") + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
