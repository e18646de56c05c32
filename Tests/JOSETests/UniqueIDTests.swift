import JOSE
import LibCrypto
import Testing

@Suite struct UniqueIDs {
    private static let text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

    @Test func `a version 7 UUID is the one of RFC 9562`() {
        // A.6: the time, and the random bits 0xCC3 and 0x18C4DC0C0C07398F; version and variant bits are overwritten.
        let id = UniqueID.version7(
            millisecondsSince1970: 0x017f_22e2_79b0,
            random: [0xfc, 0xc3, 0xd8, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f])
        #expect(id.text == Self.text)
        #expect("\(id)" == Self.text)
    }

    @Test func `text and bytes are two spellings of one id`() throws {
        let id = try #require(UniqueID(text: Self.text))
        #expect(id.text == Self.text)
        #expect(id.bytes.count == 16)
        #expect(id.bytes.first == 0x01 && id.bytes.last == 0x8f)
        #expect(UniqueID(bytes: id.bytes) == id)
        let random = SecureRandom.bytes(16)
        let other = try #require(UniqueID(bytes: random))
        #expect(other.bytes == random)
        #expect(UniqueID(text: other.text) == other)
        #expect(Set([id, other, id]).count == 2)
    }

    @Test func `ids sort by time, then by their bytes`() {
        let ids = [1, 2, 256, 1 << 47].map {
            UniqueID.version7(millisecondsSince1970: $0, random: SecureRandom.bytes(10))
        }
        #expect(ids == ids.sorted())
        #expect(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 && !($1 < $0) })
        #expect(!(ids[0] < ids[0]))
    }

    @Test(
        "any other spelling is refused",
        arguments: [
            "", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "017f22e2-79b0-7cc3-98c4-dc0c0c07398F",
            "017f22e279b07cc398c4dc0c0c07398f", "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e2-79b07-cc3-98c4-dc0c0c07398f",
            "017f22e2_79b0_7cc3_98c4_dc0c0c07398f", " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c0739\u{e9}", "017f22e2-79b0-7cc3-98c4-dc0c0c07398\u{0}",
            "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0", "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        ])
    func refused(text: String) { #expect(UniqueID(text: text) == nil) }

    @Test("bytes of another length are refused", arguments: [0, 15, 17])
    func length(count: Int) { #expect(UniqueID(bytes: [UInt8](repeating: 1, count: count)) == nil) }
}
