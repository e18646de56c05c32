import JOSE
import Postgres

/// How an entry of the list stands in a message of the feed: in binary, which digests go over, and in JSON.
///
///     entry = %x01 id exp       ; a token is revoked
///           / %x02 id exp       ; a session is revoked
///           / %x03 kid          ; a signing key is revoked
///           / %x04 kid          ; that is undone
///     id    = 16OCTET           ; the UUID's octets in the order of its text
///     exp   = 4OCTET            ; seconds since 1970, the highest octet first; all ones: never
///     kid   = 43OCTET           ; the RFC 7638 thumbprint's text
package enum EntryForm {
    /// Octets of the first two.
    package static let idLength = 21
    /// Octets of the other two.
    static let keyLength = 44

    static func append(_ entry: RevocationEntry, to bytes: inout [UInt8]) {
        bytes.append(UInt8(entry.kind.rawValue))
        // No array for each part: a node that starts may take millions.
        append(entry.id.high, octets: 8, to: &bytes)
        append(entry.id.low, octets: 8, to: &bytes)
        append(UInt64(entry.expiry), octets: 4, to: &bytes)
    }

    /// The lowest octets of a number, the highest of them first.
    private static func append(_ number: UInt64, octets: UInt64, to bytes: inout [UInt8]) {
        var left = octets * 8
        while left > 0 {
            left -= 8
            bytes.append(UInt8(truncatingIfNeeded: number >> left))
        }
    }

    static func append(_ entry: KeyEntry, to bytes: inout [UInt8]) {
        bytes.append(UInt8(entry.kind.rawValue))
        bytes += entry.keyID.utf8
    }

    /// When the entry that begins at `start` may be forgotten; the entry is of an id.
    static func expiry(_ bytes: [UInt8], at start: Int) -> UInt32 {
        (17..<21).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[start + $1]) }
    }

    /// Whose entry begins at `start`; the entry is of an id.
    static func id(_ bytes: [UInt8], at start: Int) -> UniqueID {
        func half(_ from: Int) -> UInt64 { (from..<(from + 8)).reduce(0) { $0 << 8 | UInt64(bytes[$1]) } }
        return UniqueID(high: half(start + 1), low: half(start + 9))
    }

    /// Whether an entry that begins with `octet` undoes another.
    package static func isLift(_ octet: UInt8) -> Bool { octet == UInt8(KeyEntry.Kind.lift.rawValue) }

    /// Appends the entries as members of a JSON array, with a comma between them.
    ///
    /// - Parameter bytes: whole entries in binary.
    package static func appendJSON(_ bytes: [UInt8], to out: inout [UInt8]) {
        var start = 0
        while start < bytes.count {
            if start > 0 { out.append(UInt8(ascii: ",")) }
            switch bytes[start] {
            case 1, 2:
                out += (bytes[start] == 1 ? "{\"jti\":\"" : "{\"sid\":\"").utf8
                for offset in 1...16 {
                    if offset == 5 || offset == 7 || offset == 9 || offset == 11 { out.append(UInt8(ascii: "-")) }
                    out.append(digit(bytes[start + offset] >> 4))
                    out.append(digit(bytes[start + offset] & 15))
                }
                out += "\",\"exp\":".utf8
                appendDecimal(expiry(bytes, at: start), to: &out)
                out.append(UInt8(ascii: "}"))
                start += idLength
            default:
                out += (isLift(bytes[start]) ? "{\"lift\":\"" : "{\"kid\":\"").utf8
                out += bytes[(start + 1)..<(start + keyLength)]
                out += "\"}".utf8
                start += keyLength
            }
        }
    }

    private static func appendDecimal(_ number: UInt32, to out: inout [UInt8]) {
        var (unit, rest) = (UInt32(1), number)
        while number / unit >= 10 { unit *= 10 }
        while unit > 0 {
            out.append(UInt8(ascii: "0") + UInt8(rest / unit))
            rest %= unit
            unit /= 10
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}

extension RevocationEntry {
    /// Whole seconds since 1970, rounded up: nobody forgets an entry before it expires. What lies beyond 32 bits never
    /// does.
    var expiry: UInt32 { UInt32(clamping: expiresAt.seconds + 1) }
}
