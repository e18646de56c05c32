import JOSE
import LibCrypto
import Testing

@Suite struct Base64URLs {
    @Test(
        "the values of RFC 4648 are written and read",
        arguments: [
            // §10, without padding; the last two use the symbols 62 and 63 (§5).
            ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"), ("~~>", "fn4-"), ("???", "Pz8_"),
        ])
    func published(plain: String, text: String) {
        #expect(Base64URL.encode(Array(plain.utf8)) == text)
        #expect(Base64URL.encodedBytes(Array(plain.utf8)) == Array(text.utf8))
        #expect(Base64URL.decode(text.utf8) == Array(plain.utf8))
    }

    @Test func `every length and every byte survives`() {
        let all = (0...255).map { UInt8($0) }
        for count in 0...256 {
            let bytes = Array(all.prefix(count))
            #expect(Base64URL.decode(Base64URL.encodedBytes(bytes)) == bytes)
            #expect(Base64URL.decode(Array(Base64URL.encode(bytes))[...].map { $0.asciiValue ?? 0 }) == bytes)
        }
    }

    @Test(
        "any other spelling is refused",
        arguments: [
            "Zg==", "Zg=", "Zm8=", "Zm9v=", "=", "====",  // padding
            "Zh", "Zi", "Zv", "Zm9", "Zm-", "YR", "YS", "_/",  // tails with bits left (RFC 4648 §3.5)
            "Z", "Zm9vY", "AAAAA",  // impossible lengths
            "Zm 9v", " Zm9v", "Zm9v ", "Zm9v\n", "Zm9v\r\n", "\tZm9v",  // white space
            "Zm9+", "Zm9/", "fn4+", "Zm9v.", "Zm9v,", "Zm9v\u{0}", "Zm9é", "Zm9\u{FF36}", "Ｚm9v",  // other symbols
        ])
    func refused(text: String) {
        #expect(Base64URL.decode(text.utf8) == nil)
        #expect(Base64URL.decode(Array(text.utf8)[...]) == nil)
    }

    @Test("of all tails of one symbol set only the canonical ones are read", arguments: [2, 3])
    func tails(count: Int) {
        let symbols = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        let read = symbols.filter { Base64URL.decode([UInt8](repeating: 0x41, count: count - 1) + [$0]) != nil }
        #expect(read.count == (count == 2 ? 4 : 16))
    }
}
