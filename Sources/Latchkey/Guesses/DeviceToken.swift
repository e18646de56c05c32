package import JOSE
import LibCrypto

/// What a login hands out so that the next one is known to come from the same device. Bytes, all numbers most
/// significant first:
///
///     "lkd1." BASE64URL( user[16] device[16] password-version[4] master-key-version[2] mac[16] )
///
/// `mac` is the first 128 bits of HMAC-SHA-256 over `lkd1` and the 38 bytes before it, under a key of its own derived
/// from the named master key. `device` is a UUID of version 7, so that devices compare by age. The token grants nothing
/// but a guess limit of its own, and that only until the user's password changes.
package struct DeviceToken: Sendable, Hashable, CustomStringConvertible {
    package static let prefix = "lkd1."
    private static let length = 54
    private static let authenticated = 38

    package let user: UserID
    package let device: UniqueID
    package let passwordVersion: UInt32

    package init(user: UserID, device: UniqueID, passwordVersion: UInt32) {
        self.user = user
        self.device = device
        self.passwordVersion = passwordVersion
    }

    /// nil where the text is forged, damaged, no device token at all, or made with a master key that this node does not
    /// hold: whoever shows it logs in as from an unknown device.
    package init?(_ text: String, masterKeys: MasterKeys) {
        let utf8 = text.utf8
        guard utf8.count == 5 + 72, utf8.starts(with: Self.prefix.utf8),
            let bytes = Base64URL.decode(utf8.dropFirst(5)), bytes.count == Self.length
        else { return nil }
        func number<T: FixedWidthInteger>(_ range: Range<Int>) -> T { bytes[range].reduce(0) { $0 << 8 | T($1) } }
        let version: UInt16 = number(36..<38)
        guard let version = Int16(exactly: version), let key = masterKeys.deviceTokenKey(version: version),
            constantTimeEquals(
                Self.mac(Array(bytes[..<Self.authenticated]), key), Array(bytes[Self.authenticated...])),
            let user = UniqueID(bytes: Array(bytes[..<16])), let device = UniqueID(bytes: Array(bytes[16..<32]))
        else { return nil }
        self.init(user: UserID(user), device: device, passwordVersion: number(32..<36))
    }

    /// The token as it is handed out, made under the current master key.
    package func text(masterKeys: MasterKeys) -> String {
        guard let key = masterKeys.deviceTokenKey(version: masterKeys.current) else {
            preconditionFailure("the current master key is one that is held")
        }
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        let body = user.id.bytes + device.bytes + bytes(passwordVersion) + bytes(UInt16(masterKeys.current))
        return Self.prefix + Base64URL.encode(body + Self.mac(body, key))
    }

    private static func mac(_ body: [UInt8], _ key: HMACSHA256Key) -> [UInt8] {
        Array(key.authenticate(Array("lkd1".utf8) + body).prefix(16))
    }

    package var description: String { "****" }
}
