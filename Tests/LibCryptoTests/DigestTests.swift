import LibCrypto
import Testing

@Suite struct Digests {
    @Test(
        "SHA-256 gives the published digests",
        arguments: [
            // FIPS 180-4's examples, and the empty message.
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ])
    func sha256(message: String, digest: String) {
        #expect(SHA256.digest(Array(message.utf8)) == [UInt8](hex: digest))
    }

    @Test(
        "HMAC-SHA-256 gives the authenticators of RFC 4231",
        arguments: [
            // §4.2, §4.3, §4.4, §4.7: key, message, authenticator.
            (
                [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                [UInt8](repeating: 0xaa, count: 131),
                Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
        ])
    func hmac(key: [UInt8], message: [UInt8], code: String) {
        #expect(HMACSHA256.authenticate(message, key: SecretBytes(key)) == [UInt8](hex: code))
    }

    @Test func `a prepared HMAC key gives the same code each time, from many threads at once`() async {
        let key = HMACSHA256Key(SecretBytes(Array("Jefe".utf8)))
        let expected = [UInt8](hex: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        let codes = await withTaskGroup(of: [UInt8].self) { group in
            for _ in 0..<200 { group.addTask { key.authenticate(Array("what do ya want for nothing?".utf8)) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes.count == 200)
        #expect(codes.allSatisfy { $0 == expected })
        #expect(key.authenticate([]) != expected)
    }

    @Test(
        "HKDF-SHA-256 gives the output of RFC 5869",
        arguments: [
            // A.1 and A.3: salt, info, output.
            (
                "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
            ),
            ("", "", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
        ])
    func hkdf(salt: String, info: String, output: String) throws {
        let key = SecretBytes([UInt8](repeating: 0x0b, count: 22))
        let derived = try HKDFSHA256.derive(
            from: key, salt: [UInt8](hex: salt), info: [UInt8](hex: info), count: 42)
        #expect(derived.revealed == [UInt8](hex: output))
    }

    @Test func `keys derived for different labels differ`() throws {
        let master = SecretBytes([UInt8](repeating: 7, count: 32))
        let one = try HKDFSHA256.derive(from: master, salt: [], label: "refresh tokens", count: 32)
        let other = try HKDFSHA256.derive(from: master, salt: [], label: "signing keys", count: 32)
        #expect(one.revealed != other.revealed)
        #expect(one.count == 32)
    }

    @Test("HKDF refuses a length that RFC 5869 does not allow", arguments: [-1, 0, 8161])
    func hkdfLength(count: Int) {
        #expect(throws: CryptoError.wrongLength) {
            try HKDFSHA256.derive(from: SecretBytes([1]), salt: [], label: "x", count: count)
        }
    }

    @Test func `HKDF refuses an empty key`() {
        #expect(throws: CryptoError.wrongLength) {
            try HKDFSHA256.derive(from: SecretBytes([]), salt: [], label: "x", count: 32)
        }
    }

    @Test func `constant-time comparison sees every difference`() {
        let bytes = SecureRandom.bytes(32)
        #expect(constantTimeEquals(bytes, bytes))
        #expect(constantTimeEquals([], []))
        for position in bytes.indices {
            var other = bytes
            other[position] ^= 1
            #expect(!constantTimeEquals(bytes, other))
        }
        #expect(!constantTimeEquals(bytes, Array(bytes.dropLast())))
        #expect(!constantTimeEquals(bytes, []))
    }

    @Test func `random bytes have the length asked for and do not repeat`() {
        #expect(SecureRandom.bytes(0) == [])
        #expect(SecureRandom.bytes(33).count == 33)
        #expect(Set((0..<100).map { _ in SecureRandom.bytes(16) }).count == 100)
        #expect(SecureRandom.secret(32).revealed != SecureRandom.secret(32).revealed)
    }

    @Test func `secret bytes print nothing of themselves`() {
        let secret = SecretBytes(Array("canary".utf8))
        var dumped = ""
        dump(secret, to: &dumped)
        #expect("\(secret)" == "****")
        #expect(String(reflecting: secret) == "****")
        #expect(!dumped.contains("99") && !dumped.contains("storage"))
        #expect("\([secret])" == "[****]")
        #expect(secret.revealed == Array("canary".utf8))
        #expect(secret.count == 6)
    }
}
