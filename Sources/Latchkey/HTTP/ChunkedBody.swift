/// Where a chunked body ends, RFC 9112 §7.1:
///
///     body      = *( size [ ";" extension ] CRLF data CRLF ) 1*"0" [ ";" extension ] CRLF *( field CRLF ) CRLF
///     size      = 1*8HEXDIG
///
/// Every line ends with CR LF, in extensions and trailers too: a bare LF there is where servers disagree about the end
/// of a chunk. Extensions and trailers are bounded, and mean nothing here.
struct ChunkedBody: Equatable {
    private enum State: Equatable {
        case size(value: Int, digits: Int)
        case extensions(size: Int)
        case sizeLF(size: Int)
        case data(remaining: Int)
        case dataCR
        case dataLF
        case trailer
        case trailerName
        case trailerValue
        case trailerLF
        case lastLF
    }

    /// Of the data, in bytes.
    private let limit: Int
    private var state = State.size(value: 0, digits: 0)
    /// Of the data.
    private var total = 0
    /// Of extensions and trailers.
    private var aside = 0

    private static let mostAside = 4096

    init(limit: Int = EdgeLimits.bodyBytes) {
        self.limit = limit
    }

    mutating func next(_ bytes: Span<UInt8>) -> RequestGate.Step {
        var index = 0
        while index < bytes.count {
            if case .data(let remaining) = state {
                let length = min(remaining, bytes.count - index)
                state = length == remaining ? .dataCR : .data(remaining: remaining - length)
                index += length
                continue
            }
            let byte = bytes[index]
            index += 1
            if state == .lastLF { return byte == 0x0A ? .end(length: index) : .refused(.chunk) }
            guard let following = after(byte) else { return .refused(.chunk) }
            state = following
            guard total <= limit else { return .refused(.bodyTooLarge) }
            guard aside <= Self.mostAside else { return .refused(.chunk) }
        }
        return .body(length: bytes.count)
    }

    /// The state behind a byte that is not data; nil where it may not stand here.
    private mutating func after(_ byte: UInt8) -> State? {
        switch state {
        case .size(let value, let digits):
            if let digit = HTTPBytes.hexDigit(byte), digits < 8 {
                return .size(value: value << 4 | digit, digits: digits + 1)
            }
            guard digits > 0 else { return nil }
            return byte == 0x0D ? .sizeLF(size: value) : byte == UInt8(ascii: ";") ? .extensions(size: value) : nil
        case .extensions(let size):
            aside += 1
            return byte == 0x0D ? .sizeLF(size: size) : isText(byte) ? state : nil
        case .sizeLF(let size):
            guard byte == 0x0A else { return nil }
            total += size
            return size == 0 ? .trailer : .data(remaining: size)
        case .dataCR: return byte == 0x0D ? .dataLF : nil
        case .dataLF: return byte == 0x0A ? .size(value: 0, digits: 0) : nil
        case .trailer:
            return byte == 0x0D ? .lastLF : HTTPBytes.isToken(byte) ? .trailerName : nil
        case .trailerName:
            aside += 1
            return byte == UInt8(ascii: ":") ? .trailerValue : HTTPBytes.isToken(byte) ? state : nil
        case .trailerValue:
            aside += 1
            return byte == 0x0D ? .trailerLF : isText(byte) ? state : nil
        case .trailerLF: return byte == 0x0A ? .trailer : nil
        case .data, .lastLF: return nil
        }
    }

    private func isText(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != 0x7F || byte == 0x09
    }
}
