import Testing

@testable import Latchkey

@Suite("A username")
struct UsernameTests {
    @Test(
        "is folded to small letters",
        arguments: [
            ("alice", "alice"), ("ALICE", "alice"), ("A.b_c-d@e+9", "a.b_c-d@e+9"), ("0", "0"),
            (String(repeating: "Z", count: 128), String(repeating: "z", count: 128)),
        ])
    func folded(given: String, expected: String) throws {
        #expect(try Username(given).text == expected)
    }

    @Test(
        "is refused where it holds anything else",
        arguments: [
            ("", UsernameError.empty),
            (String(repeating: "a", count: 129), .tooLong),
            ("a b", .forbiddenCharacter), ("a\u{0}", .forbiddenCharacter), ("a\r\n", .forbiddenCharacter),
            ("a/b", .forbiddenCharacter), ("a:b", .forbiddenCharacter), ("<a>", .forbiddenCharacter),
            ("jos\u{e9}", .forbiddenCharacter), ("\u{212a}elvin", .forbiddenCharacter),
            ("\u{131}d", .forbiddenCharacter), ("\u{ff41}", .forbiddenCharacter), ("a\u{301}", .forbiddenCharacter),
            ("a\u{200b}", .forbiddenCharacter), ("\u{430}lice", .forbiddenCharacter),
        ])
    func refused(given: String, error: UsernameError) {
        #expect(throws: error) { try Username(given) }
    }
}

@Suite("A password")
struct PasswordTests {
    @Test(
        "is the same however it was typed",
        arguments: [
            ("p\u{e4}ssword", "pa\u{308}ssword"), ("two words", "two\u{a0}words"), ("two words", "two\u{3000}words"),
            ("\u{c5}ngstr\u{f6}m", "\u{212b}ngstro\u{308}m"),
        ])
    func prepared(one: String, other: String) throws {
        #expect(try Password(setting: one).bytes == Password(setting: other).bytes)
        #expect(try Password(setting: one).bytes == Password(checking: Array(other.utf8)).bytes)
    }

    @Test(
        "keeps what tells two passwords apart",
        arguments: [("password", "Password"), ("password", "password "), ("\u{ff21}bcdefgh", "Abcdefgh")])
    func distinct(one: String, other: String) throws {
        #expect(try Password(setting: one).bytes != Password(setting: other).bytes)
    }

    @Test("of any script is taken", arguments: ["correct horse", "пароль-пароль", "密码密码密码密码", "👩‍👩‍👧‍👦👍🏽"])
    func scripts(text: String) throws {
        #expect(try Password(setting: text).bytes == Array(text.utf8))
    }

    @Test("has a least length only where it is new")
    func shortest() throws {
        #expect(throws: PasswordError.tooShort) { try Password(setting: "1234567") }
        #expect(try Password(setting: "12345678").bytes.count == 8)
        #expect(try Password(checking: "1").bytes == [0x31])
        // Scalars after normalisation: eight letters, four of them with an accent apart, are eight.
        #expect(throws: PasswordError.tooShort) { try Password(setting: "a\u{301}a\u{301}a\u{301}a\u{301}") }
    }

    @Test("has a greatest length, counted after normalisation")
    func longest() throws {
        #expect(try Password(setting: String(repeating: "a", count: 1_024)).bytes.count == 1_024)
        #expect(throws: PasswordError.tooLong) { try Password(checking: String(repeating: "a", count: 1_025)) }
        #expect(try Password(checking: String(repeating: "a\u{308}", count: 512)).bytes.count == 1_024)
        #expect(throws: PasswordError.tooLong) { try Password(checking: String(repeating: "a", count: 1_000_000)) }
    }

    @Test(
        "is refused where it holds what no keyboard types",
        arguments: [
            ("", PasswordError.empty), ("pass\u{0}word", .controlCharacter), ("password\n", .controlCharacter),
            ("password\r\n", .controlCharacter), ("pass\tword", .controlCharacter),
            ("pass\u{85}word", .controlCharacter),
            ("pass\u{7f}word", .controlCharacter), ("password\u{ffff}", .unassignedCharacter),
            ("password\u{378}", .unassignedCharacter),
        ])
    func refused(text: String, error: PasswordError) {
        #expect(throws: error) { try Password(checking: text) }
        #expect(throws: error) { try Password(setting: text) }
    }

    @Test(
        "in bytes that are no UTF-8 is refused, not repaired",
        arguments: [[0x70, 0xff, 0x70], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]])
    func invalidUTF8(bytes: [UInt8]) {
        #expect(throws: PasswordError.notUTF8) { try Password(checking: bytes) }
    }

    @Test("prints as stars")
    func masked() throws {
        let password = try Password(setting: "canary-canary")
        var dumped = ""
        dump(password, to: &dumped)
        for text in ["\(password)", String(reflecting: password), "\([password])", dumped] {
            #expect(!text.contains("canary") && !text.contains("99"))
        }
    }
}

@Suite("An email address")
struct EmailAddressTests {
    @Test("keeps its form and is compared folded")
    func folded() throws {
        let address = try EmailAddress("Jose\u{301}@Example.ORG")
        #expect(address.given.utf8.elementsEqual("Jose\u{301}@Example.ORG".utf8))
        #expect(address.folded.utf8.elementsEqual("jos\u{e9}@example.org".utf8))
        #expect(try address == EmailAddress("JOS\u{c9}@example.org"))
    }

    @Test(
        "is refused where it could not be one",
        arguments: [
            ("", EmailAddressError.notOneAt), ("alice", .notOneAt), ("@example.org", .notOneAt), ("alice@", .notOneAt),
            ("a@b@c", .notOneAt), ("a b@c", .forbiddenCharacter), ("a@b\r\nBcc: x", .forbiddenCharacter),
            ("a@b\u{0}", .forbiddenCharacter), ("a\u{a0}@b", .forbiddenCharacter), ("a\u{200b}@b", .forbiddenCharacter),
            ("a\u{2028}@b", .forbiddenCharacter), (String(repeating: "a", count: 253) + "@b", .tooLong),
        ])
    func refused(text: String, error: EmailAddressError) {
        #expect(throws: error) { try EmailAddress(text) }
    }
}
