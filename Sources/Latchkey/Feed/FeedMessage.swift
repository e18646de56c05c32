import JOSE
import LibCrypto
import Postgres

/// One message of the feed (rule "freshness"): entries, where a follower stands that has applied them, up to which instant
/// that is all there is, and the signature over it. `docs/revocation.md` is its authority.
struct FeedMessage: Sendable {
    /// Entries in their order, with what the signature holds of them.
    struct Entries: Sendable {
        let pieces: [[UInt8]]
        let count: Int
        let digest: [UInt8]

        init(_ extract: RevocationLog.Extract) {
            pieces = extract.pieces
            count = extract.count
            digest = SHA256.digest(of: pieces)
        }
    }

    let position: FeedPosition
    /// What the entries are behind of; nil: they are the whole list.
    let after: FeedPosition?
    let claim: RevocationList.Claim
    let entries: Entries
    var nonce: String?

    /// A message as it goes out, without its entries.
    struct Signed: Sendable {
        /// The members before `entries`.
        let members: JSONObject
        let signature: String
    }

    /// - Parameter now: the boot clock when the message is made, later than all that it tells of.
    func signed(by source: FeedSource, now: BootInstant = .now()) throws -> Signed {
        let milliseconds = claim.time.milliseconds
        let members = JSONObject([
            ("epoch", .string(position.epoch.text)), ("position", .string(position.word)),
            ("after", after.map { .string($0.word) }),
            // Rounded apart, so that the list never looks fresher than it is.
            ("as_of", .integer(claim.asOf.nanoseconds / 1_000_000)),
            ("now", .integer((now.nanoseconds + 999_999) / 1_000_000)), ("node", .string(source.node.text)),
            ("time", .string(Self.text(milliseconds: milliseconds))), ("nonce", nonce.map { .string($0) }),
            ("count", .integer(Int64(entries.count))),
        ])
        var claims: JSONObject = ["iss": .string(source.issuer), "iat": .integer(claim.time.seconds)]
        for member in members.members { claims[member.name] = member.value }
        claims["digest"] = .string(Base64URL.encode(entries.digest))
        return Signed(members: members, signature: try source.key.sign(claims))
    }

    /// RFC 3339 with exactly three digits of a second.
    private static func text(milliseconds: Int64) -> String {
        let fraction = ((milliseconds % 1000) + 1000) % 1000
        let whole = RFC3339.text(microseconds: (milliseconds - fraction) * 1000)
        let digits = String(1000 + fraction).dropFirst()
        return "\(whole.dropLast()).\(digits)Z"
    }
}

/// Whose messages they are.
struct FeedSource: Sendable {
    let node: UniqueID
    let issuer: String
    let key: FeedKey
}

extension FeedMessage.Signed {
    /// `{"epoch":…,"entries":[`, to be followed by the entries and `jsonEnd`.
    var jsonStart: [UInt8] { members.encoded().dropLast() + Array(",\"entries\":[".utf8) }
    var jsonEnd: [UInt8] { Array("],\"signature\":\"\(signature)\"}".utf8) }

    /// `LKR1`, length, members: to be followed by the entries and the signature.
    var binaryStart: [UInt8] {
        let members = members.encoded()
        var bytes = Array("LKR1".utf8)
        for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: members.count >> shift)) }
        return bytes + members
    }
    var binaryEnd: [UInt8] { Array(signature.utf8) }
}

/// How a message goes over the wire.
enum FeedForm: Sendable, CaseIterable {
    case json, binary

    static let binaryType = "application/vnd.latchkey.revocations"

    var contentType: String {
        switch self {
        case .json: "application/json"
        case .binary: Self.binaryType
        }
    }

    func start(_ message: FeedMessage.Signed) -> [UInt8] {
        switch self {
        case .json: message.jsonStart
        case .binary: message.binaryStart
        }
    }

    func end(_ message: FeedMessage.Signed) -> [UInt8] {
        switch self {
        case .json: message.jsonEnd
        case .binary: message.binaryEnd
        }
    }

    enum Place { case first, further }

    func piece(_ piece: [UInt8], _ place: Place) -> [UInt8] {
        switch self {
        case .json:
            var json: [UInt8] = place == .further ? [UInt8(ascii: ",")] : []
            json.reserveCapacity(piece.count / EntryForm.idLength * 80)
            EntryForm.appendJSON(piece, to: &json)
            return json
        case .binary: return piece
        }
    }
}
