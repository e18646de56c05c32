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
            var bits: UInt32 = 0
            symbols.withUnsafeBufferPointer { symbols in
                for byte in bytes {
                    buffer = buffer << 8 | UInt32(byte)
                    bits += 8
                    while bits >= 6 {
                        bits -= 6
                        output[position] = symbols[Int(buffer >> bits & 63)]
                        position += 1
                    }
                }
                if bits > 0 {
                    output[position] = symbols[Int(buffer << (6 - bits) & 63)]
                    position += 1
                }
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
        var isValid = false
        let bytes = [UInt8](unsafeUninitializedCapacity: text.count * 3 / 4) { output, initialized in
            var position = 0
            var buffer: UInt32 = 0
            var bits: UInt32 = 0
            var seen: UInt8 = 0
            values.withUnsafeBufferPointer { values in
                // Four symbols are three bytes; then what is left.
                let whole = text.count & ~3
                for start in stride(from: 0, to: whole, by: 4) {
                    let a = values[Int(text[start])]
                    let b = values[Int(text[start + 1])]
                    let c = values[Int(text[start + 2])]
                    let d = values[Int(text[start + 3])]
                    seen |= a | b | c | d
                    let three = UInt32(a & 63) << 18 | UInt32(b & 63) << 12 | UInt32(c & 63) << 6 | UInt32(d & 63)
                    output[position] = UInt8(truncatingIfNeeded: three >> 16)
                    output[position + 1] = UInt8(truncatingIfNeeded: three >> 8)
                    output[position + 2] = UInt8(truncatingIfNeeded: three)
                    position += 3
                }
                for symbol in text[whole...] {
                    let value = values[Int(symbol)]
                    seen |= value
                    buffer = buffer << 6 | UInt32(value & 63)
                    bits += 6
                    if bits >= 8 {
                        bits -= 8
                        output[position] = UInt8(truncatingIfNeeded: buffer >> bits)
                        position += 1
                    }
                }
            }
            isValid = seen < 64 && buffer & (1 << bits - 1) == 0
            initialized = position
        }
        return isValid ? bytes : nil
    }

    private static let symbols = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// By symbol: what it stands for; 64, a bit that no value has, for what is none.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 64, count: 256)
        for (value, symbol) in symbols.enumerated() { values[Int(symbol)] = UInt8(value) }
        return values
    }()
}
