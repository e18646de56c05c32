import HTTPTypes
import Hummingbird

/// What a request of the feed asks for:
///
///     after = position
///     nonce = 1*64( ALPHA / DIGIT / "-" / "_" )
///     wait  = 1*2DIGIT                            ; seconds, at most 30, with `after` alone
struct FeedQuery: Sendable {
    static let longestWait: Int64 = 30

    let after: FeedPosition?
    let nonce: String?
    /// Seconds.
    let wait: Int64

    /// - Throws: `Rejection.invalidRequest` for what is spelled otherwise or comes twice.
    init(_ request: Request) throws(Rejection) {
        let query = try FormBody(bytes: Array((request.uri.query ?? "").utf8))
        let (after, nonce, wait) = (query.optional("after"), query.optional("nonce"), query.optional("wait"))
        self.after = after.flatMap { FeedPosition(word: $0) }
        self.nonce = nonce
        self.wait = wait.map { Self.seconds($0) } ?? 0
        guard after == nil || self.after != nil else {
            throw .invalidRequest(description: "`after` is a position as this service gave it.")
        }
        guard nonce.map({ (1...64).contains($0.utf8.count) && $0.utf8.allSatisfy(Self.isOfBase64URL) }) ?? true else {
            throw .invalidRequest(description: "`nonce` is 1 to 64 of A-Z, a-z, 0-9, - and _.")
        }
        guard self.wait >= 0 else {
            throw .invalidRequest(description: "`wait` is a number of seconds from 0 to \(Self.longestWait).")
        }
        guard wait == nil || after != nil else { throw .invalidRequest(description: "`wait` needs `after`.") }
    }

    /// Negative for what is none from 0 to `longestWait`.
    private static func seconds(_ text: String) -> Int64 {
        guard (1...2).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let seconds = Int64(text), seconds <= longestWait
        else { return -1 }
        return seconds
    }

    private static func isOfBase64URL(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// The binary form where it is asked for by name; weights are not weighed.
    static func form(_ headers: HTTPFields) -> FeedForm {
        let isNamed = headers[values: .accept].contains { field in
            field.utf8.split(separator: UInt8(ascii: ",")).contains { part in
                let type = part.prefix { $0 != UInt8(ascii: ";") }.filter { $0 != 0x20 && $0 != 0x09 }
                return type.map { 0x41...0x5A ~= $0 ? $0 | 0x20 : $0 } == Array(FeedForm.binaryType.utf8)
            }
        }
        return isNamed ? .binary : .json
    }
}
