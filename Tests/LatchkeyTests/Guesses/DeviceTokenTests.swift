import JOSE
import LibCrypto
import Testing

@testable import Latchkey

@Suite("A device token")
struct DeviceTokenTests {
    private let keys: MasterKeys
    private let token: DeviceToken

    init() throws {
        keys = try MasterKeys([1: SecretBytes([UInt8](repeating: 0x42, count: 32))])
        token = DeviceToken(
            user: UserID(try #require(UniqueID(bytes: Array(0..<16)))),
            device: try #require(UniqueID(bytes: Array(16..<32))), passwordVersion: 7)
    }

    /// Computed by Python's hmac and hashlib from the format's description, HKDF (RFC 5869) included.
    private static let vector =
        "lkd1.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAAAHAAF0rPW_7oCOVzxv3vMyd6TO"

    @Test func `is the text that its format describes, and reads back`() {
        #expect(token.text(masterKeys: keys) == Self.vector)
        #expect(DeviceToken(Self.vector, masterKeys: keys) == token)
    }

    @Test func `shows nothing of itself when printed`() {
        #expect("\(token)" == "****")
    }

    @Test(arguments: 0..<54) func `is none with any one of its bits flipped`(position: Int) throws {
        let bytes = try #require(Base64URL.decode(Self.vector.utf8.dropFirst(5)))
        for bit in 0..<8 {
            var damaged = bytes
            damaged[position] ^= 1 << UInt8(bit)
            let text = DeviceToken.prefix + Base64URL.encode(damaged)
            #expect(DeviceToken(text, masterKeys: keys) == nil, "bit \(bit)")
        }
    }

    @Test(arguments: [
        "", "lkd1.", "lkd1", String(vector.dropLast()), vector + "A", vector + "AAAA", vector + "=", " " + vector,
        vector + "\n", vector.replacing("lkd1.", with: "LKD1."), vector.replacing("lkd1.", with: "lkr1."),
        vector.replacing("lkd1.", with: ""), vector.replacing("AAEC", with: "AAE="),
        vector.replacing("AAEC", with: "AA C"), vector.replacing("AAEC", with: "AA\u{0}C"),
        "lkr1.AwECAwQFBgcICQoLDA0OD2VT8QAAAAAHAAEp7YCvRrR8G2QSBUVVdX4R", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
    ])
    func `is none in any other spelling`(text: String) {
        #expect(DeviceToken(text, masterKeys: keys) == nil)
    }

    @Test func `is none under another master key, or one that this node does not hold`() throws {
        for version in [1, 2] as [Int16] {
            let theirs = try MasterKeys([version: SecretBytes([UInt8](repeating: 0x17, count: 32))])
            #expect(DeviceToken(Self.vector, masterKeys: theirs) == nil)
        }
        let both = try MasterKeys([
            1: SecretBytes([UInt8](repeating: 0x42, count: 32)), 2: SecretBytes([UInt8](repeating: 0x17, count: 32)),
        ])
        #expect(DeviceToken(Self.vector, masterKeys: both) == token)
    }

    @Test func `has a MAC of its own purpose: that of a refresh token does not pass`() throws {
        let key = try #require(keys.refreshTokenKey(version: 1))
        let body = try Array(#require(Base64URL.decode(Self.vector.utf8.dropFirst(5))).prefix(38))
        let mac = key.authenticate(Array("lkd1".utf8) + body).prefix(16)
        #expect(DeviceToken(DeviceToken.prefix + Base64URL.encode(body + mac), masterKeys: keys) == nil)
    }
}
