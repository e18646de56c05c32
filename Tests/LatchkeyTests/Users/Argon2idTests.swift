import Testing

@testable import Latchkey

@Suite("argon2id")
struct Argon2idTests {
    @Test("computes the test vector of RFC 9106 §5.3")
    func vector() throws {
        let tag = try Argon2id.hash(
            password: Array(repeating: 1, count: 32),
            salt: Array(repeating: 2, count: 16),
            secret: Array(repeating: 3, count: 8),
            associatedData: Array(repeating: 4, count: 12),
            parameters: Argon2Parameters(memoryKiB: 32, iterations: 3, parallelism: 4),
            tagLength: 32)
        #expect(
            tag == [
                0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9,
                0xd0, 0x1e, 0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
            ])
    }

    @Test("leaves the caller's password as it was")
    func passwordIsCopied() throws {
        let password = Array("correct horse".utf8)
        let parameters = try Argon2Parameters(memoryKiB: 8, iterations: 1, parallelism: 1)
        let salt = [UInt8](repeating: 7, count: 16)
        let hash = {
            try Argon2id.hash(
                password: password, salt: salt, secret: [], associatedData: [], parameters: parameters, tagLength: 32)
        }
        #expect(try hash() == hash())
        #expect(password == Array("correct horse".utf8))
    }

    @Test(
        "refuses parameters out of their bounds",
        arguments: [
            (7, 1, 1, Argon2Error.memoryOutOfBounds), (1_048_577, 1, 1, .memoryOutOfBounds),
            (15, 1, 2, .memoryOutOfBounds), (-1, 1, 1, .memoryOutOfBounds),
            (8, 0, 1, .iterationsOutOfBounds), (8, 65, 1, .iterationsOutOfBounds),
            (8, 1, 0, .parallelismOutOfBounds), (1_024, 1, 17, .parallelismOutOfBounds),
        ])
    func parameterBounds(memory: Int, iterations: Int, parallelism: Int, error: Argon2Error) {
        #expect(throws: error) {
            try Argon2Parameters(memoryKiB: memory, iterations: iterations, parallelism: parallelism)
        }
    }

    @Test("refuses a salt or a tag that is too short")
    func inputBounds() throws {
        let parameters = try Argon2Parameters(memoryKiB: 8, iterations: 1, parallelism: 1)
        #expect(throws: Argon2Error.saltTooShort) {
            try Argon2id.hash(
                password: [], salt: Array(repeating: 0, count: 7), secret: [], associatedData: [],
                parameters: parameters, tagLength: 32)
        }
        #expect(throws: Argon2Error.tagLengthOutOfBounds) {
            try Argon2id.hash(
                password: [], salt: Array(repeating: 0, count: 8), secret: [], associatedData: [],
                parameters: parameters, tagLength: 3)
        }
    }
}
