import LibCrypto
import Testing

@Suite struct SignatureKeys {
    @Test("a signature verifies, any other does not", arguments: SignatureAlgorithm.allCases)
    func roundTrip(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey.generate(algorithm)
        let message = Array("message".utf8)
        let signature = try key.sign(message)
        #expect(key.algorithm == algorithm)
        #expect(key.publicKey.verify(signature, of: message))
        #expect(!key.publicKey.verify(signature, of: message + [0]))
        #expect(!key.publicKey.verify(signature, of: []))
        #expect(!key.publicKey.verify(Array(signature.dropLast()), of: message))
        #expect(!key.publicKey.verify(signature + [0], of: message))
        #expect(!key.publicKey.verify([0] + signature, of: message))
        #expect(!key.publicKey.verify([], of: message))
        #expect(!key.publicKey.verify([UInt8](repeating: 0, count: signature.count), of: message))
        for position in signature.indices {
            var other = signature
            other[position] ^= 1
            #expect(!key.publicKey.verify(other, of: message))
        }
        let stranger = try PrivateKey.generate(algorithm)
        #expect(!stranger.publicKey.verify(signature, of: message))
    }

    @Test("a key survives PKCS #8, and its public half its components", arguments: SignatureAlgorithm.allCases)
    func serialization(algorithm: SignatureAlgorithm) throws {
        let key = try PrivateKey.generate(algorithm)
        let read = try PrivateKey(pkcs8: key.pkcs8(), algorithm: algorithm)
        #expect(read.publicKey.components == key.publicKey.components)
        let publicKey = try PublicKey(key.publicKey.components, algorithm: algorithm)
        #expect(publicKey.verify(try read.sign([1, 2]), of: [1, 2]))
    }

    @Test func `one key signs on many threads at once`() async throws {
        let key = try PrivateKey.generate(.rs256)
        let verdicts = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<100 {
                group.addTask { key.publicKey.verify(try key.sign([UInt8(number)]), of: [UInt8(number)]) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(verdicts == [Bool](repeating: true, count: 100))
    }

    @Test func `Ed25519 gives the signature of RFC 8032`() throws {
        // §7.1, test 1, the seed behind the PKCS #8 prefix of RFC 8410 §7.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        let key = try PrivateKey(
            pkcs8: SecretBytes(hex: "302e020100300506032b657004220420" + seed), algorithm: .edDSA)
        #expect(
            key.publicKey.components
                == .ed25519([UInt8](hex: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")))
        let signature =
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            + "d25bf5f0595bbe24655141438e7a100b"
        #expect(try key.sign([]) == [UInt8](hex: signature))
    }

    @Test func `PKCS1 and PSS signatures of one RSA key do not pass for each other`() throws {
        let key = try PrivateKey.generate(.rs256)
        let pss = try PrivateKey(pkcs8: key.pkcs8(), algorithm: .ps256)
        #expect(!pss.publicKey.verify(try key.sign([1]), of: [1]))
        #expect(!key.publicKey.verify(try pss.sign([1]), of: [1]))
        #expect(try key.sign([1]) == key.sign([1]))
        #expect(try pss.sign([1]) != pss.sign([1]))
    }

    @Test func `an ES256 signature in DER is refused`() throws {
        let key = try PrivateKey.generate(.es256)
        let raw = try key.sign([1])
        #expect(raw.count == 64)
        #expect(!key.publicKey.verify([0x30, 0x44, 0x02, 0x20] + raw[..<32] + [0x02, 0x20] + raw[32...], of: [1]))
    }

    @Test func `PKCS #8 of another kind, truncated, or with something behind it is refused`() throws {
        let key = try PrivateKey.generate(.es256)
        let der = try key.pkcs8().revealed
        for algorithm in SignatureAlgorithm.allCases where algorithm != .es256 {
            #expect(throws: CryptoError.malformedKey) { try PrivateKey(pkcs8: SecretBytes(der), algorithm: algorithm) }
        }
        for bytes in [[], [0x30], der + [0], Array(der.dropLast()), Array("-----BEGIN PRIVATE KEY-----".utf8)] {
            #expect(throws: CryptoError.malformedKey) { try PrivateKey(pkcs8: SecretBytes(bytes), algorithm: .es256) }
        }
    }

    @Test func `PKCS #8 whose halves do not belong together is refused`() throws {
        let key = try PrivateKey.generate(.es256)
        guard case .p256(let x, _) = key.publicKey.components,
            case .p256(let otherX, let otherY) = try PrivateKey.generate(.es256).publicKey.components
        else {
            Issue.record("P-256 keys have other components")
            return
        }
        let der = try key.pkcs8().revealed
        let start = try #require(der.indices.first { der[$0...].starts(with: x) })
        let mixed = Array(der[..<start]) + otherX + otherY
        #expect(mixed.count == der.count)
        #expect(throws: CryptoError.malformedKey) { try PrivateKey(pkcs8: SecretBytes(mixed), algorithm: .es256) }
    }

    @Test(
        "RSA keys that are weak or costly are refused",
        arguments: [
            (modulus: [0x80] + [UInt8](repeating: 1, count: 127), exponent: [1, 0, 1]),
            (modulus: [0x7f] + [UInt8](repeating: 1, count: 255), exponent: [1, 0, 1]),
            (modulus: [0x01] + [UInt8](repeating: 1, count: 1024), exponent: [1, 0, 1]),
            (modulus: [0x80] + [UInt8](repeating: 2, count: 255), exponent: [1, 0, 1]),
            (modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [1]),
            (modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [3]),
            (modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [0xff, 0xff]),
            (modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [1, 0, 2]),
            (modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [1, 0, 0, 0, 0, 0, 0, 0, 1]),
        ] as [(modulus: [UInt8], exponent: [UInt8])])
    func weakRSA(modulus: [UInt8], exponent: [UInt8]) {
        #expect(throws: CryptoError.refusedKey) {
            try PublicKey(.rsa(modulus: modulus, exponent: exponent), algorithm: .rs256)
        }
    }

    @Test(
        "components that are no key are refused",
        arguments: [
            (.rsa(modulus: [], exponent: [1, 0, 1]), .rs256),
            (.rsa(modulus: [0, 0x80] + [UInt8](repeating: 1, count: 255), exponent: [1, 0, 1]), .rs256),
            (.rsa(modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: []), .rs256),
            (.rsa(modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [0, 1, 0, 1]), .rs256),
            (.rsa(modulus: [0x80] + [UInt8](repeating: 1, count: 255), exponent: [1, 0, 1]), .es256),
            (.p256(x: [UInt8](repeating: 1, count: 32), y: [UInt8](repeating: 1, count: 32)), .es256),
            (.p256(x: [UInt8](repeating: 0, count: 32), y: [UInt8](repeating: 0, count: 32)), .es256),
            (.p256(x: [UInt8](repeating: 0xff, count: 32), y: [UInt8](repeating: 0xff, count: 32)), .es256),
            (.p256(x: [1], y: [1]), .es256),
            (.p256(x: [UInt8](repeating: 1, count: 32), y: [UInt8](repeating: 1, count: 32)), .edDSA),
            (.ed25519([]), .edDSA),
            (.ed25519([UInt8](repeating: 1, count: 33)), .edDSA),
            (.ed25519([UInt8](repeating: 1, count: 32)), .rs256),
        ] as [(PublicKey.Components, SignatureAlgorithm)])
    func malformed(components: PublicKey.Components, algorithm: SignatureAlgorithm) {
        #expect(throws: CryptoError.malformedKey) { try PublicKey(components, algorithm: algorithm) }
    }

    @Test func `a private key prints nothing of itself`() throws {
        let key = try PrivateKey.generate(.edDSA)
        #expect("\(key)" == "****")
        #expect(Mirror(reflecting: key).children.isEmpty)
    }
}
