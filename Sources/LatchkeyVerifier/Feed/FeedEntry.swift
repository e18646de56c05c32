internal import JOSE

/// One entry of the revocation list.
///
///     entry = %x01 16OCTET 4OCTET   ; a jti and when it may be forgotten, the highest octet first
///           / %x02 16OCTET 4OCTET   ; a sid
///           / %x03 43OCTET          ; a kid, ASCII
///           / %x04 43OCTET          ; that is undone
enum FeedEntry: Sendable, Equatable {
    enum ID: UInt8 {
        case token = 1
        case session = 2
    }

    /// Seconds since 1970, `UInt32.max` for never.
    case id(ID, UniqueID, expiresAt: UInt32)
    case key(String)
    case lift(String)

    /// How many octets an entry of `kind` takes; nil for a kind that is none.
    static func octets(ofKind kind: UInt8) -> Int? {
        switch kind {
        case 1, 2: 21
        case 3, 4: 44
        default: nil
        }
    }

    /// - Parameter octets: of one entry, exactly.
    init?(_ octets: ArraySlice<UInt8>) {
        guard let kind = octets.first, Self.octets(ofKind: kind) == octets.count else { return nil }
        if let kind = ID(rawValue: kind) {
            let (high, low, expiry) = octets.withUnsafeBytes {
                (
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 1, as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 9, as: UInt64.self)),
                    UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 17, as: UInt32.self))
                )
            }
            self = .id(kind, UniqueID(high: high, low: low), expiresAt: expiry)
        } else {
            let name = octets.dropFirst()
            guard name.allSatisfy({ 0x21...0x7e ~= $0 }) else { return nil }
            let text = String(decoding: name, as: UTF8.self)
            self = kind == 3 ? .key(text) : .lift(text)
        }
    }

    /// Reads `{"jti":"UUID","exp":N}`, the same with `sid`, `{"kid":"KID"}` or `{"lift":"KID"}`.
    init?(_ json: JSONValue) {
        // Of two names the digest would cover one.
        guard let entry = json.object, ["jti", "sid", "kid", "lift"].count(where: { entry[$0] != nil }) == 1 else {
            return nil
        }
        func key(_ name: String) -> String? {
            entry[name]?.string.flatMap { $0.utf8.count == 43 && $0.utf8.allSatisfy { 0x21...0x7e ~= $0 } ? $0 : nil }
        }
        func id(_ name: String) -> (UniqueID, UInt32)? {
            guard let id = entry[name]?.string.flatMap({ UniqueID(text: $0) }), let exp = entry["exp"]?.int, exp >= 0
            else { return nil }
            return (id, UInt32(clamping: exp))
        }
        if let (id, exp) = id("jti") {
            self = .id(.token, id, expiresAt: exp)
        } else if let (id, exp) = id("sid") {
            self = .id(.session, id, expiresAt: exp)
        } else if let name = key("kid") {
            self = .key(name)
        } else if let name = key("lift") {
            self = .lift(name)
        } else {
            return nil
        }
    }

    /// The octets that a message's digest is made over.
    func write(to output: inout [UInt8]) {
        switch self {
        case .id(let kind, let id, let expiresAt):
            output.append(kind.rawValue)
            output += id.bytes
            output += (0..<4).map { UInt8(truncatingIfNeeded: expiresAt >> UInt32(24 - 8 * $0)) }
        case .key(let name): output += [3] + Array(name.utf8)
        case .lift(let name): output += [4] + Array(name.utf8)
        }
    }
}
