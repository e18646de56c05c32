import Testing

@testable import Latchkey

@Suite("A stored hash")
struct PHCStringTests {
    static let salt = "AAAAAAAAAAAAAAAAAAAAAA"
    static let tag = "//////////////////////////////////////////8"
    static let good = "$argon2id$v=19$m=19456,t=2,p=1$\(salt)$\(tag)"

    @Test("is read and prints again as it was")
    func roundTrip() throws {
        let phc = try PHCString(parsing: Self.good)
        #expect(phc.parameters == .standard)
        #expect(phc.salt == Array(repeating: 0, count: 16))
        #expect(phc.tag == Array(repeating: 255, count: 32))
        #expect(phc.text == Self.good)
    }

    @Test("prints every length again", arguments: 8...64)
    func everyLength(length: Int) throws {
        let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ length) }
        let phc = try PHCString(parameters: .standard, salt: bytes, tag: Array(bytes + bytes).suffix(max(16, length)))
        #expect(try PHCString(parsing: phc.text) == phc)
    }

    @Test("does not print what it holds")
    func masked() throws {
        let phc = try PHCString(parsing: Self.good)
        for text in ["\(phc)", String(reflecting: phc), "\([phc])"] {
            #expect(text.contains("****"))
            #expect(!text.contains(Self.salt) && !text.contains(Self.tag))
        }
        var dumped = ""
        dump(phc, to: &dumped)
        #expect(!dumped.contains("255"))
    }

    /// GOOD, SALT, TAG and LONG stand for texts of their own.
    static let malformedTexts: [(String, PHCStringError)] = [
        ("", PHCStringError.malformed),
        ("plain", .malformed),
        ("GOOD$", .malformed),
        (" GOOD", .malformed),
        ("GOOD\n", .malformed),
        ("GOOD=", .malformed),
        ("xGOOD", .malformed),
        ("$argon2i$v=19$m=19456,t=2,p=1$SALT$TAG", .otherAlgorithm),
        ("$argon2d$v=19$m=19456,t=2,p=1$SALT$TAG", .otherAlgorithm),
        ("$Argon2id$v=19$m=19456,t=2,p=1$SALT$TAG", .otherAlgorithm),
        ("$argon2id$v=16$m=19456,t=2,p=1$SALT$TAG", .otherVersion),
        ("$argon2id$m=19456,t=2,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$t=2,m=19456,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=19456,t=2$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=19456,t=2,p=1,keyid=A$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=+19456,t=2,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=019456,t=2,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=,t=2,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=١٩٤٥٦,t=2,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=9999999999999999999999,t=2,p=1$SALT$TAG", .malformed),
        ("$argon2id$v=19$m=1048577,t=2,p=1$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=7,t=2,p=1$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=15,t=2,p=2$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=19456,t=65,p=1$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=19456,t=0,p=1$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=19456,t=2,p=17$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=19456,t=2,p=0$SALT$TAG", .costOutOfBounds),
        ("$argon2id$v=19$m=19456,t=2,p=1$$TAG", .saltLength),
        ("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAA$TAG", .saltLength),
        ("$argon2id$v=19$m=19456,t=2,p=1$SALT$", .tagLength),
        ("$argon2id$v=19$m=19456,t=2,p=1$SALT$AAAAAAAAAAAAAAAAAAAA", .tagLength),
        // A tail that is not canonical, the URL alphabet, padding, an impossible length, a letter from elsewhere.
        ("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAB$TAG", .malformed),
        ("$argon2id$v=19$m=19456,t=2,p=1$SALT$__________________________________________8", .malformed),
        ("$argon2id$v=19$m=19456,t=2,p=1$SALT==$TAG", .malformed),
        ("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAA$TAG", .malformed),
        ("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAÄ$TAG", .malformed),
        ("$argon2id$v=19$m=19456,t=2,p=1$SALT$LONG", .malformed),
    ]

    @Test("is refused where it is malformed", arguments: malformedTexts)
    func malformed(template: String, error: PHCStringError) {
        let text = template.replacing("GOOD", with: Self.good).replacing("SALT", with: Self.salt)
            .replacing("TAG", with: Self.tag).replacing("LONG", with: String(repeating: "A", count: 4_000))
        #expect(throws: error) { try PHCString(parsing: text) }
    }

    @Test(
        "is upgraded where it is weaker than the settings, and only there",
        arguments: [
            (19_456, 2, 1, false), (19_457, 2, 1, true), (19_456, 3, 1, true), (19_456, 2, 2, true),
            (8_192, 1, 1, false), (47_104, 1, 1, true),
        ])
    func upgrade(memory: Int, iterations: Int, parallelism: Int, expected: Bool) throws {
        let settings = try Argon2Parameters(memoryKiB: memory, iterations: iterations, parallelism: parallelism)
        #expect(try PHCString(parsing: Self.good).needsUpgrade(to: settings) == expected)
    }

    @Test("is upgraded where its salt or tag is short")
    func shortParts() throws {
        let short = [UInt8](repeating: 1, count: 15)
        let long = [UInt8](repeating: 1, count: 32)
        #expect(try PHCString(parameters: .standard, salt: short, tag: long).needsUpgrade(to: .standard))
        #expect(
            try PHCString(parameters: .standard, salt: long, tag: Array(long.dropLast())).needsUpgrade(to: .standard))
        #expect(try !PHCString(parameters: .standard, salt: long, tag: long).needsUpgrade(to: .standard))
    }
}
