import JOSE
import LibCrypto

/// A refresh token. Bytes, all numbers most significant first:
///
///     "lkr1." BASE64URL( rid[16] fence[4] generation[4] master-key-version[2] mac[16] )
///
/// `mac` is the first 128 bits of HMAC-SHA-256 over `lkr1` and the 26 bytes before it, under a key derived from the
/// named master key: what is forged or damaged is refused without touching the database, and the same successor can be
/// handed out again because it can be computed again. 128 bits: one would have to guess online.
///
/// `rid` finds the session's row; its first byte is the row's slot, the other 15 are random. It is not the `sid` of
/// access tokens, so that whoever steals the key alone still knows no session.
package struct RefreshToken: Sendable, Hashable, CustomStringConvertible {
    package static let prefix = "lkr1."
    private static let length = 42
    private static let authenticated = 26

    package let rid: [UInt8]
    package let fence: UInt32
    package let generation: UInt32

    package init(rid: [UInt8], fence: UInt32, generation: UInt32) {
        self.rid = rid
        self.fence = fence
        self.generation = generation
    }

    package var slot: Int16 { Int16(rid[0]) }

    package enum Refusal: Error, Sendable, Equatable {
        /// Forged, damaged, or no refresh token at all.
        case notOurs
        /// Made with a master key that this node does not hold (yet): another node may. Never "invalid".
        case unknownMasterKey
    }

    package init(_ text: String, masterKeys: MasterKeys) throws(Refusal) {
        let utf8 = text.utf8
        guard utf8.count == 5 + 56, utf8.starts(with: Self.prefix.utf8),
            let bytes = Base64URL.decode(utf8.dropFirst(5)), bytes.count == Self.length, bytes[0] < 16
        else { throw .notOurs }
        func number<T: FixedWidthInteger>(_ range: Range<Int>) -> T { bytes[range].reduce(0) { $0 << 8 | T($1) } }
        let version: UInt16 = number(24..<26)
        // Retired or leaked: no node takes it any more.
        if let version = Int16(exactly: version), masterKeys.isVoid(version) { throw .notOurs }
        guard let version = Int16(exactly: version), let key = masterKeys.refreshTokenKey(version: version) else {
            throw .unknownMasterKey
        }
        let body = Array(bytes[..<Self.authenticated])
        guard constantTimeEquals(Self.mac(body, key), Array(bytes[Self.authenticated...])) else { throw .notOurs }
        rid = Array(bytes[..<16])
        fence = number(16..<20)
        generation = number(20..<24)
    }

    /// The token as it is handed out, made under the current master key.
    package func text(masterKeys: MasterKeys) -> String {
        guard let key = masterKeys.refreshTokenKey(version: masterKeys.current) else {
            preconditionFailure("the current master key is one that is held")
        }
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        let body = rid + bytes(fence) + bytes(generation) + bytes(UInt16(masterKeys.current))
        return Self.prefix + Base64URL.encode(body + Self.mac(body, key))
    }

    private static func mac(_ body: [UInt8], _ key: HMACSHA256Key) -> [UInt8] {
        Array(key.authenticate(Array("lkr1".utf8) + body).prefix(16))
    }

    package var description: String { "****" }
}
