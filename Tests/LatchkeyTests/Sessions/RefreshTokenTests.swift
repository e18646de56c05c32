import JOSE
import LibCrypto
import Testing

@testable import Latchkey

@Suite("A refresh token")
struct RefreshTokenTests {
    private let keys: MasterKeys
    private let token = RefreshToken(rid: [3] + Array(1...15), fence: 1_700_000_000, generation: 7)

    init() throws {
        keys = try MasterKeys([1: SecretBytes([UInt8](repeating: 0x42, count: 32))])
    }

    /// Computed by Python's hmac and hashlib from the format's description, HKDF (RFC 5869) included.
    private static let vector = "lkr1.AwECAwQFBgcICQoLDA0OD2VT8QAAAAAHAAEp7YCvRrR8G2QSBUVVdX4R"

    @Test("is the text that its format describes, and reads back")
    func readsBack() throws {
        let text = token.text(masterKeys: keys)
        #expect(text == Self.vector)
        #expect(text.utf8.count == 61)
        #expect(try RefreshToken(text, masterKeys: keys) == token)
        #expect(token.slot == 3)
    }

    @Test("is what docs/refresh.md says, to the last of its test vectors")
    func documented() throws {
        let masters: [String: [UInt8]] = [
            "32 times `42`": [UInt8](repeating: 0x42, count: 32), "`00` to `1f`": Array(0..<32),
        ]
        let rows = try Repository.text("docs/refresh.md").split(separator: "\n").filter { $0.contains("| `lkr1.") }
        #expect(rows.count == 4)
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingPrefix(" ").trimmingSuffix(" ") }
            try #require(cells.count == 6)
            let master = try #require(masters[cells[0]])
            let version = try #require(Int16(cells[1]))
            let keys = try MasterKeys([version: SecretBytes(master)])
            let digits = Array(cells[2].utf8.dropFirst().dropLast())
            let rid = stride(from: 0, to: digits.count, by: 2).compactMap {
                UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
            }
            let token = RefreshToken(
                rid: rid, fence: try #require(UInt32(cells[3])), generation: try #require(UInt32(cells[4])))
            let text = String(cells[5].dropFirst().dropLast())
            #expect(token.text(masterKeys: keys) == text)
            #expect(try RefreshToken(text, masterKeys: keys) == token)
        }
    }

    @Test("carries the greatest fence and generation")
    func greatest() throws {
        let token = RefreshToken(rid: [15] + Array(1...15), fence: .max, generation: .max)
        #expect(try RefreshToken(token.text(masterKeys: keys), masterKeys: keys) == token)
    }

    @Test("shows nothing of itself when printed")
    func isSecret() {
        #expect("\(token)" == "****")
        #expect(String(describing: [token]) == "[****]")
    }

    @Test("is refused with any one of its 336 bits flipped", arguments: 0..<42)
    func flippedBits(position: Int) throws {
        let bytes = try #require(Base64URL.decode(Self.vector.utf8.dropFirst(5)))
        for bit in 0..<8 {
            var damaged = bytes
            damaged[position] ^= 1 << UInt8(bit)
            let text = RefreshToken.prefix + Base64URL.encode(damaged)
            // Bytes 24 and 25 name the master key: no node can say more of such a token than that another may hold it.
            let expected: RefreshToken.Refusal = position == 24 || position == 25 ? .unknownMasterKey : .notOurs
            #expect(throws: expected, "bit \(bit)") { try RefreshToken(text, masterKeys: keys) }
        }
    }

    @Test(
        "is refused in any other spelling",
        arguments: [
            "", "lkr1.", "lkr1", String(vector.dropLast()), String(vector.dropLast(4)), vector + "A", vector + "AAAA",
            vector + "=", vector + "\n", " " + vector, vector + " ", vector.replacing("lkr1.", with: "LKR1."),
            vector.replacing("lkr1.", with: "lkr2."), vector.replacing("lkr1.", with: "lkr1:"),
            vector.replacing("lkr1.", with: ""), vector.replacing("lkr1.", with: "lkr1.."),
            vector.replacing("AwEC", with: "AwE="), vector.replacing("AwEC", with: "Aw C"),
            vector.replacing("AwEC", with: "Aw+C"), vector.replacing("AwEC", with: "Aw/C"),
            vector.replacing("AwEC", with: "Aw\u{C8}"), vector.replacing("AwEC", with: "Aw\u{0}C"),
            "eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
        ])
    func otherSpellings(text: String) {
        #expect(throws: RefreshToken.Refusal.notOurs) { try RefreshToken(text, masterKeys: keys) }
    }

    @Test(
        "is refused where its slot is none of the ring's, though its MAC is right",
        arguments: [16, 17, 127, 255] as [UInt8])
    func slotBeyondTheRing(slot: UInt8) {
        let text = RefreshToken(rid: [slot] + Array(1...15), fence: 1, generation: 1).text(masterKeys: keys)
        #expect(throws: RefreshToken.Refusal.notOurs) { try RefreshToken(text, masterKeys: keys) }
    }

    @Test(
        "of a master key that this node does not hold is another refusal than a forged one",
        arguments: [2, 3, 32767] as [Int16])
    func unknownMasterKey(version: Int16) throws {
        let theirs = try MasterKeys([version: SecretBytes([UInt8](repeating: 0x17, count: 32))])
        let text = token.text(masterKeys: theirs)
        #expect(throws: RefreshToken.Refusal.unknownMasterKey) { try RefreshToken(text, masterKeys: keys) }
        let both = try MasterKeys([
            1: SecretBytes([UInt8](repeating: 0x42, count: 32)),
            version: SecretBytes([UInt8](repeating: 0x17, count: 32)),
        ])
        #expect(try RefreshToken(text, masterKeys: both) == token)
        #expect(try RefreshToken(Self.vector, masterKeys: both) == token)
        // New tokens are made under the highest version.
        #expect(token.text(masterKeys: both) == text)
    }

    @Test("of another installation with the same version is refused")
    func foreignKey() throws {
        let theirs = try MasterKeys([1: SecretBytes([UInt8](repeating: 0x43, count: 32))])
        #expect(throws: RefreshToken.Refusal.notOurs) { try RefreshToken(Self.vector, masterKeys: theirs) }
    }
}

extension Substring {
    fileprivate func trimmingSuffix(_ end: Character) -> String {
        String(reversed().drop { $0 == end }.reversed())
    }
}
